"""What preflight finds, and what to do about it (`.remedy`), in both languages. `words.say` finds it here."""

TABLE: dict[str, dict[str, str]] = {
    "severity.blocker": {"en": "blocker", "ja": "要対処"},
    "severity.warning": {"en": "warning", "ja": "警告"},
    "severity.note": {"en": "note", "ja": "注記"},
    # processor, memory, disk
    "no_virtualization": {
        "en": "The processor offers no virtualization: machines run many times slower.",
        "ja": "プロセッサーの仮想化支援機能が使えず、仮想マシンの動作が著しく遅くなります。",
    },
    "no_virtualization.remedy": {
        "en": "Switch on VT-x or AMD-V in the PC's firmware. Where it has neither, use another PC.",
        "ja": "ファームウェアでVT-xまたはAMD-Vを有効にしてください。どちらもない場合は別のPCが必要です。",
    },
    "kvm_unusable": {
        "en": "The processor can virtualize, and a machine tried here did not run by it.",
        "ja": "プロセッサーは仮想化に対応していますが、試験用の仮想マシンが動作しませんでした。",
    },
    "kvm_unusable.remedy": {
        "en": "See whether /dev/kvm exists and the module kvm_intel or kvm_amd is loaded, QEMU is installed,"
        " and the firmware does not lock virtualization.",
        "ja": "/dev/kvmの有無、kvm_intelまたはkvm_amdモジュール、QEMUの導入、"
        "ファームウェアの仮想化設定を確認してください。",
    },
    "simulated": {
        "en": "This PC is simulated: nothing that it says is about real hardware.",
        "ja": "このPCはシミュレーションです。実在するハードウェアの情報ではありません。",
    },
    "simulated.remedy": {
        "en": "Nothing to do; do not count it among the PCs.",
        "ja": "対処は不要です。PCの台数には含めないでください。",
    },
    "little_memory": {
        "en": "The PC has {memory} GiB of memory for the control base and two machines.",
        "ja": "メモリーは{memory} GiBで、制御基盤と2つの仮想マシンには不足しています。",
    },
    "little_memory.remedy": {
        "en": "Fit 8 GiB or more.",
        "ja": "8 GiB以上に増設してください。",
    },
    "little_disk": {
        "en": "The disk for images and documents has {disk} GB; an update needs room for two versions.",
        "ja": "イメージとデータ用のディスクは{disk} GBです。更新には2世代分の空きが必要です。",
    },
    "little_disk.remedy": {
        "en": "Give the state directory a partition of 100 GB or more.",
        "ja": "状態ディレクトリーに100 GB以上のパーティションを割り当ててください。",
    },
    "disk_nearly_full": {
        "en": "Only {free} GB are free on the disk for images and documents.",
        "ja": "イメージとデータ用のディスクの空きが{free} GBしかありません。",
    },
    "disk_nearly_full.remedy": {
        "en": "Remove what does not belong there, or enlarge the partition; an update may not fit.",
        "ja": "不要なものを取り除くか、パーティションを拡張してください。更新が入らないことがあります。",
    },
    "no_reflink": {
        "en": "The file system of the state directory cannot share blocks between files: an update copies"
        " more and needs more room.",
        "ja": "状態ディレクトリーのファイルシステムがブロックを共有できず、更新時に複写と空きが増えます。",
    },
    "no_reflink.remedy": {
        "en": "Use XFS with reflink=1 or Btrfs when the PC is next set up.",
        "ja": "次回のセットアップ時にXFS（reflink=1）またはBtrfsを使ってください。",
    },
    # safety of data
    "state_not_encrypted": {
        "en": "The state directory lies on a partition that is not encrypted: whoever takes the disk can read"
        " what machines wrote.",
        "ja": "状態ディレクトリーが暗号化されていません。ディスクを持ち出されると内容を読まれます。",
    },
    "state_not_encrypted.remedy": {
        "en": "Put it on a LUKS2 partition bound to the TPM (systemd-cryptenroll) before user data comes.",
        "ja": "ユーザーデータを置く前に、TPMに結び付けたLUKS2パーティションに移してください"
        "（systemd-cryptenroll）。",
    },
    "state_encryption_unknown": {
        "en": "Nobody can tell whether the state directory lies on an encrypted partition.",
        "ja": "状態ディレクトリーが暗号化されているかどうか判定できません。",
    },
    "state_encryption_unknown.remedy": {
        "en": "Look at what it lies on (findmnt, lsblk), and put it on a LUKS2 partition.",
        "ja": "格納先を確認し（findmnt、lsblk）、LUKS2パーティションに置いてください。",
    },
    "host_swap_on": {
        "en": "The control base swaps to a disk: memory of machines can come to lie there.",
        "ja": "制御基盤のスワップが有効で、仮想マシンのメモリーがディスクに書かれることがあります。",
    },
    "host_swap_on.remedy": {
        "en": "Switch it off (swapoff -a) and remove it from /etc/fstab, or use zram.",
        "ja": "スワップを無効にし（swapoff -a）、/etc/fstabから削除するか、zramを使ってください。",
    },
    "no_tpm": {
        "en": "The PC shows no TPM: keys of this PC cannot be bound to it.",
        "ja": "TPMが見つからず、鍵をこのPCに結び付けられません。",
    },
    "no_tpm.remedy": {
        "en": "Switch on the TPM (also called PTT or fTPM) in the firmware.",
        "ja": "ファームウェアでTPM（PTT、fTPMとも呼ばれます）を有効にしてください。",
    },
    "tpm_1_2": {
        "en": "The TPM is of version {version}; binding the disk's key needs 2.0.",
        "ja": "TPMのバージョンは{version}です。ディスクの鍵を結び付けるには2.0が必要です。",
    },
    "tpm_1_2.remedy": {
        "en": "See whether the firmware offers 2.0 as a choice or by an update.",
        "ja": "ファームウェアの設定または更新で2.0にできるか確認してください。",
    },
    "secure_boot_off": {
        "en": "Secure Boot is off: whoever sits at the PC can start another control base.",
        "ja": "セキュアブートが無効で、PCに触れる人が別の制御基盤を起動できます。",
    },
    "secure_boot_off.remedy": {
        "en": "Switch it on in the firmware, in UEFI mode, and set a password for the firmware.",
        "ja": "UEFIモードで有効にし、ファームウェアにパスワードを設定してください。",
    },
    # devices
    "iommu_off": {
        "en": "The PC has no IOMMU switched on: nothing can be passed through to the client VM.",
        "ja": "IOMMUが有効ではなく、クライアント環境にデバイスを直接渡せません。",
    },
    "iommu_off.remedy": {
        "en": "Switch on VT-d or AMD-Vi in the firmware; with VT-d start the kernel with intel_iommu=on.",
        "ja": "ファームウェアでVT-dまたはAMD-Viを有効にしてください。VT-dではカーネルに"
        "intel_iommu=onの指定も必要です。",
    },
    "vfio_missing": {
        "en": "/dev/vfio/vfio is missing: the kernel hands no device of this PC to the client VM.",
        "ja": "/dev/vfio/vfioがなく、カーネルがデバイスをクライアント環境に渡せません。",
    },
    "vfio_missing.remedy": {
        "en": "Load the module vfio-pci now and at each start: a file in /etc/modules-load.d with its name.",
        "ja": "モジュールvfio-pciを読み込み、/etc/modules-load.dにその名前を書いたファイルを置いて"
        "起動時にも読み込まれるようにしてください。",
    },
    "iommu_group_with_disk": {
        "en": "{device} cannot be kept apart from {others}, which the control base needs: {reason}",
        "ja": "{device}は、制御基盤が必要とする{others}とIOMMUグループが同じです（理由: {reason}）",
    },
    "iommu_group_with_disk.remedy": {
        "en": "Put the card into another slot, or take it out of the policy for this PC.",
        "ja": "カードを別のスロットに移すか、このPCのポリシーから外してください。",
    },
    "iommu_group_shared": {
        "en": "{device} cannot be kept apart from {others}, which stays: {reason}",
        "ja": "{device}は、渡されない{others}とIOMMUグループが同じです（理由: {reason}）",
    },
    "iommu_group_shared.remedy": {
        "en": "Grant all devices of the group, or none; or put the card into another slot.",
        "ja": "グループの全デバイスを許可するか、すべて外してください。別のスロットに移す方法もあります。",
    },
    "device_no_reset": {
        "en": "{device} cannot be reset, so it would come up only once: it is not passed through.",
        "ja": "{device}はリセットできず、二度目の起動で使えなくなるため渡されません。",
    },
    "device_no_reset.remedy": {
        "en": "Take it out of the policy for this PC, or fit a card that can be reset.",
        "ja": "このPCのポリシーから外すか、リセットできるカードに交換してください。",
    },
    "device_not_isolated": {
        "en": "The IOMMU does not cover {device}: it is not passed through.",
        "ja": "{device}はIOMMUの対象外のため渡されません。",
    },
    "device_not_isolated.remedy": {
        "en": "Take it out of the policy for this PC, or see whether a firmware update covers it.",
        "ja": "このPCのポリシーから外すか、ファームウェアの更新で対象になるか確認してください。",
    },
    "usb_controller_unsafe": {
        "en": "{device} stays with the control base, because a USB rule could deny a device behind it.",
        "ja": "{device}は、拒否され得るUSBデバイスがあるため、制御基盤に残ります。",
    },
    "usb_controller_unsafe.remedy": {
        "en": "Use device mode, or grant every USB device.",
        "ja": "デバイスモードを使うか、すべてのUSBデバイスを許可してください。",
    },
    "device_impossible": {
        "en": "{device} is granted, and this PC cannot pass it through.",
        "ja": "{device}は許可されていますが、このPCでは渡せません。",
    },
    "device_impossible.remedy": {
        "en": "See its reason in the list of devices.",
        "ja": "デバイス一覧の理由を確認してください。",
    },
    "boot_display_passed": {
        "en": "{device} is this PC's own screen: while the client VM has it, the control base cannot show why"
        " a start failed.",
        "ja": "{device}はこのPCの画面です。クライアント環境に渡している間、"
        "制御基盤は起動失敗の理由を表示できません。",
    },
    "boot_display_passed.remedy": {
        "en": "See that the PC can be reached over the LAN, or choose another display in the firmware.",
        "ja": "LAN経由で管理できることを確認するか、ファームウェアで別の画面を選んでください。",
    },
    "one_usb_controller_notebook": {
        "en": "This notebook has one USB controller, {controller}, and its own keyboard and camera may hang"
        " on it: controller mode would give all of it away.",
        "ja": "このノートPCのUSBコントローラーは{controller}だけで、内蔵キーボードやカメラも接続されている"
        "可能性があります。コントローラーモードではすべて渡ります。",
    },
    "one_usb_controller_notebook.remedy": {
        "en": "Use device mode for notebooks.",
        "ja": "ノートPCではデバイスモードを使ってください。",
    },
    "wifi_shared": {
        "en": "Wi-Fi belongs to the control base: the client VM does not see the card, and is routed to it.",
        "ja": "Wi-Fiは制御基盤が使います。クライアント環境からカードは見えず、通信が中継されます。",
    },
    "wifi_shared.remedy": {
        "en": "Say on its group's page which Wi-Fi it joins. To have it bridged, connect it by cable.",
        "ja": "接続するWi-Fiをグループのページで設定してください。ブリッジ接続には有線LANが必要です。",
    },
    "not_described": {
        "en": "The PC has not described its board or its devices, so they could not be examined.",
        "ja": "基板またはデバイスの情報がなく、確認できませんでした。",
    },
    "not_described.remedy": {
        "en": "Update the agent on it.",
        "ja": "PCのエージェントを更新してください。",
    },
}
