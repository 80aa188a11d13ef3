/* A guest that looks at its own devices, for tests of what a client VM can see and use.

   It runs on the bare (virtual) machine and says on the first serial port, one fact a line:
       pci <address> <vendor>:<product> <class>      once per function, and again with + or - when one comes or goes
       nic <address> mac <mac> link <0|1>            Intel e1000 and e1000e
       nvme <address> serial <serial> block0 <text>  both by DMA: Identify and the first block
       xhci <address> ports <bits>                   one bit per root port with a device; again when it changes
       scan <number> functions <n> usb <n>           after each look at everything, every two seconds
   The power button ends it. It halts between looks, so that it costs its host nearly nothing.

   Sources: PCI Local Bus 3.0 §6; NVM Express 1.4 §3, §5.15; xHCI 1.2 §5.4; Intel 82574 §10.2; ACPI 6.4 §4.8.3. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

enum { SERIAL = 0x3f8, PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc, PIC1 = 0x20, PIC2 = 0xa0, TICK_VECTOR = 0x20 };
enum { PM1_STATUS = 0x600, PM1_ENABLE = 0x602, PM1_CONTROL = 0x604, POWER_BUTTON = 1 << 8, SLEEP_OFF = 1 << 13 };
enum { MAX_FUNCTIONS = 64, MAX_CONTROLLERS = 8, TICKS_BETWEEN_SCANS = 36, PATIENCE_TICKS = 180 };

volatile u32 ticks; /* 18.2 a second, counted by on_tick (start.S) */
void on_tick(void);

/* --- ports, memory-mapped registers, the serial line --- */

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline u16 in16(u16 port) { u16 value; __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline u32 in32(u16 port) { u32 value; __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port)); return value; }

static inline volatile u32 *reg(u32 base, u32 offset) { return (volatile u32 *)(base + offset); }

static void put(char letter)
{
    while (!(in8(SERIAL + 5) & 0x20))
        ;
    out8(SERIAL, (u8)letter);
}

static void say(const char *text)
{
    while (*text)
        put(*text++);
}

static void say_hex(u32 value, int digits)
{
    while (digits--)
        put("0123456789abcdef"[(value >> (digits * 4)) & 15]);
}

static void say_number(u32 value)
{
    if (value >= 10)
        say_number(value / 10);
    put((char)('0' + value % 10));
}

static void say_text(const u8 *bytes, int length)
{
    while (length && (bytes[length - 1] == ' ' || bytes[length - 1] == 0))
        length--;
    for (int i = 0; i < length; i++)
        put(bytes[i] >= ' ' && bytes[i] < 127 ? (char)bytes[i] : '.');
}

/* Whether the bits of a register become so while anybody would wait. */
static int becomes(volatile u32 *where, u32 mask, u32 wanted)
{
    u32 until = ticks + PATIENCE_TICKS;
    while ((*where & mask) != wanted)
        if (ticks > until)
            return 0;
    return 1;
}

/* --- PCI --- */

struct function {
    u32 address; /* bus << 16 | device << 11 | function << 8 */
    u32 id;
    u32 class;
    u32 seen; /* number of the last scan that found it */
};

static struct function functions[MAX_FUNCTIONS];
static u32 function_count, scan_number;

static u32 config(u32 address, u32 offset)
{
    out32(PCI_ADDRESS, 0x80000000u | address | offset);
    return in32(PCI_DATA);
}

static void set_config(u32 address, u32 offset, u32 value)
{
    out32(PCI_ADDRESS, 0x80000000u | address | offset);
    out32(PCI_DATA, value);
}

static void say_address(u32 address)
{
    say_hex(address >> 16, 2);
    put(':');
    say_hex(address >> 11 & 31, 2);
    put('.');
    say_hex(address >> 8 & 7, 1);
}

static void say_function(const char *what, const struct function *found)
{
    say(what);
    say_address(found->address);
    put(' ');
    say_hex(found->id & 0xffff, 4);
    put(':');
    say_hex(found->id >> 16, 4);
    put(' ');
    say_hex(found->class, 6);
    put('\n');
}

/* The first memory window of a function, switched on together with its DMA; 0: none that 32 bits reach. */
static u32 memory_of(u32 address)
{
    u32 bar = config(address, 0x10);
    if (bar & 1 || ((bar & 6) == 4 && config(address, 0x14)))
        return 0;
    set_config(address, 4, (config(address, 4) & 0xffff) | 6);
    return bar & ~15u;
}

/* --- what can be asked of single devices --- */

static void look_at_nic(u32 address)
{
    u32 base = memory_of(address);
    if (!base)
        return;
    u32 low = *reg(base, 0x5400), high = *reg(base, 0x5404);
    say("nic ");
    say_address(address);
    say(" mac ");
    for (int i = 0; i < 6; i++) {
        say_hex((i < 4 ? low >> i * 8 : high >> (i - 4) * 8) & 255, 2);
        if (i < 5)
            put(':');
    }
    say(" link ");
    say_hex(*reg(base, 8) >> 1 & 1, 1);
    put('\n');
}

/* Queues of 16 entries and two pages for what is read; an entry of a submission queue has 16 words. */
static u32 admin_queue[1024] __attribute__((aligned(4096))), admin_done[1024] __attribute__((aligned(4096)));
static u32 io_queue[1024] __attribute__((aligned(4096))), io_done[1024] __attribute__((aligned(4096)));
static u32 identity[1024] __attribute__((aligned(4096))), block[1024] __attribute__((aligned(4096)));

struct command {
    u32 opcode, space, memory, word10, word11, word12;
};

/* Puts one command into a queue and waits for its end. Returns 1 for success. `number` counts from 0. */
static int nvme_do(u32 base, int queue, u32 number, struct command command)
{
    volatile u32 *entry = (queue ? io_queue : admin_queue) + number * 16;
    volatile u32 *done = (queue ? io_done : admin_done) + number * 4;
    entry[0] = command.opcode | (number + 1) << 16;
    entry[1] = command.space;
    entry[6] = command.memory;
    entry[10] = command.word10;
    entry[11] = command.word11;
    entry[12] = command.word12;
    u32 doorbells = base + 0x1000 + (u32)queue * 8;
    *reg(doorbells, 0) = number + 1;
    if (!becomes(done + 3, 0x10000, 0x10000))
        return 0;
    *reg(doorbells, 4) = number + 1;
    return (done[3] >> 17) == 0;
}

static void look_at_nvme(u32 address)
{
    u32 base = memory_of(address);
    if (!base)
        return;
    *reg(base, 0x14) = 0;
    becomes(reg(base, 0x1c), 1, 0);
    *reg(base, 0x24) = 15 << 16 | 15;
    *reg(base, 0x28) = (u32)admin_queue;
    *reg(base, 0x2c) = 0;
    *reg(base, 0x30) = (u32)admin_done;
    *reg(base, 0x34) = 0;
    *reg(base, 0x14) = 0x00460001; /* entries of 64 and 16 bytes; enabled */
    say("nvme ");
    say_address(address);
    if (becomes(reg(base, 0x1c), 1, 1) &&
        nvme_do(base, 0, 0, (struct command){.opcode = 0x06, .memory = (u32)identity, .word10 = 1}) &&
        nvme_do(base, 0, 1, (struct command){0x05, 0, (u32)io_done, 15 << 16 | 1, 1, 0}) &&
        nvme_do(base, 0, 2, (struct command){0x01, 0, (u32)io_queue, 15 << 16 | 1, 1 << 16 | 1, 0}) &&
        nvme_do(base, 1, 0, (struct command){.opcode = 0x02, .space = 1, .memory = (u32)block})) {
        say(" serial ");
        say_text((u8 *)identity + 4, 20);
        say(" block0 ");
        say_text((u8 *)block, 16);
    } else
        say(" does not answer");
    put('\n');
}

struct controller {
    u32 address, operational, ports, connected;
};

static struct controller controllers[MAX_CONTROLLERS];
static u32 controller_count;

static u32 connected(const struct controller *xhci)
{
    u32 bits = 0;
    for (u32 port = 0; port < xhci->ports; port++)
        bits |= (*reg(xhci->operational, 0x400 + port * 16) & 1) << port;
    return bits;
}

static void say_ports(const struct controller *xhci)
{
    say("xhci ");
    say_address(xhci->address);
    say(" ports ");
    say_hex(xhci->connected, 8);
    put('\n');
}

static void look_at_xhci(u32 address)
{
    u32 base = memory_of(address);
    if (!base || controller_count == MAX_CONTROLLERS)
        return;
    struct controller *xhci = &controllers[controller_count++];
    xhci->address = address;
    xhci->operational = base + (*reg(base, 0) & 255);
    xhci->ports = *reg(base, 4) >> 24;
    *reg(xhci->operational, 0) |= 2; /* reset */
    becomes(reg(xhci->operational, 0), 2, 0);
    xhci->connected = connected(xhci);
    say_ports(xhci);
}

static void look_at(const struct function *found)
{
    if (found->class >> 8 == 0x0200 && (found->id & 0xffff) == 0x8086)
        look_at_nic(found->address);
    if (found->class == 0x010802)
        look_at_nvme(found->address);
    if (found->class == 0x0c0330)
        look_at_xhci(found->address);
}

/* --- looking at everything, again and again --- */

static void note(u32 address, u32 id)
{
    for (u32 i = 0; i < function_count; i++)
        if (functions[i].address == address && functions[i].id == id) {
            functions[i].seen = scan_number;
            return;
        }
    if (function_count == MAX_FUNCTIONS)
        return;
    struct function *found = &functions[function_count++];
    *found = (struct function){address, id, config(address, 8) >> 8, scan_number};
    say_function(scan_number ? "pci + " : "pci ", found);
    look_at(found);
}

static void scan_bus(u32 bus)
{
    for (u32 device = 0; device < 32; device++)
        for (u32 part = 0; part < 8; part++) {
            u32 address = bus << 16 | device << 11 | part << 8, id = config(address, 0);
            if ((id & 0xffff) == 0xffff) {
                if (!part)
                    break;
                continue;
            }
            note(address, id);
            u32 header = config(address, 0xc) >> 16;
            if ((header & 0x7f) == 1)
                scan_bus(config(address, 0x18) >> 8 & 255);
            if (!part && !(header & 0x80))
                break;
        }
}

static void scan(void)
{
    u32 left = 0, devices = 0;
    scan_bus(0);
    for (u32 i = 0; i < function_count; i++)
        if (functions[i].seen == scan_number)
            functions[left++] = functions[i];
        else
            say_function("pci - ", &functions[i]);
    function_count = left;
    for (u32 i = 0; i < controller_count; i++)
        for (u32 bits = controllers[i].connected; bits; bits &= bits - 1)
            devices++;
    say("scan ");
    say_number(scan_number++);
    say(" functions ");
    say_number(function_count);
    say(" usb ");
    say_number(devices);
    put('\n');
}

static void watch(void)
{
    for (u32 i = 0; i < controller_count; i++) {
        u32 now = connected(&controllers[i]);
        if (now != controllers[i].connected) {
            controllers[i].connected = now;
            say_ports(&controllers[i]);
        }
    }
    if (in16(PM1_STATUS) & POWER_BUTTON) {
        say("power button\n");
        out16(PM1_CONTROL, SLEEP_OFF);
    }
}

/* --- the clock --- */

static struct { u16 low, selector, kind, high; } __attribute__((packed)) gates[TICK_VECTOR + 1];

static void start_clock(void)
{
    u32 handler = (u32)on_tick;
    gates[TICK_VECTOR].low = (u16)handler;
    gates[TICK_VECTOR].selector = 8;
    gates[TICK_VECTOR].kind = 0x8e00;
    gates[TICK_VECTOR].high = (u16)(handler >> 16);
    struct { u16 limit; u32 base; } __attribute__((packed)) table = {sizeof gates - 1, (u32)gates};
    __asm__ volatile("lidt %0" ::"m"(table));
    const u8 words[4] = {0x11, TICK_VECTOR, 4, 1}; /* the controllers' initialisation, the second at our 0x28 */
    for (int i = 0; i < 4; i++) {
        out8(i ? PIC1 + 1 : PIC1, words[i]);
        out8(i ? PIC2 + 1 : PIC2, i == 1 ? TICK_VECTOR + 8 : i == 2 ? 2 : words[i]);
    }
    out8(PIC1 + 1, 0xfe); /* the timer alone */
    out8(PIC2 + 1, 0xff);
    __asm__ volatile("sti");
}

int main(void)
{
    start_clock();
    out16(PM1_ENABLE, POWER_BUTTON);
    say("probe begins\n");
    for (u32 next_scan = 0;;) {
        if (ticks >= next_scan) {
            scan();
            next_scan = ticks + TICKS_BETWEEN_SCANS;
        }
        watch();
        __asm__ volatile("hlt");
    }
}
