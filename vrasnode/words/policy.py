"""The words of device policy, plan and device events. Said by `words`."""

from collections.abc import Mapping

TABLE: Mapping[str, Mapping[str, str]] = {
    # fates
    "fate.passed": {"en": "passed through", "ja": "パススルー"},
    "fate.shared": {"en": "shared", "ja": "共有"},
    "fate.hidden": {"en": "hidden", "ja": "遮蔽"},
    "fate.impossible": {"en": "impossible", "ja": "不可"},
    # verdicts and scopes
    "verdict.pass": {"en": "pass", "ja": "許可"},
    "verdict.read_only": {"en": "read-only", "ja": "読取り専用"},
    "verdict.hide": {"en": "hide", "ja": "遮蔽"},
    "scope.group": {"en": "group", "ja": "グループ"},
    "scope.client": {"en": "PC", "ja": "クライアントPC"},
    "scope.user": {"en": "user", "ja": "利用者"},
    # decided by policy
    "rule": {
        "en": "Rule {rule} ({scope}) says: {verdict}.",
        "ja": "ルール{rule}（{scope}）により「{verdict}」です。",
    },
    "no_rule": {
        "en": "No rule grants it, so it is hidden.",
        "ja": "許可するルールがないため遮蔽されます。",
    },
    "interface_not_allowed": {
        "en": "It is several devices in one, and no rule grants one of them.",
        "ja": "複合デバイスで、許可するルールのないインターフェースを含むため遮蔽されます。",
    },
    "no_interfaces": {
        "en": "It does not say what it is, so it cannot be judged and is hidden.",
        "ja": "インターフェースを示さないため判定できず、遮蔽されます。",
    },
    "not_storage": {
        "en": "Rule {rule} ({scope}) says read-only, and it is no storage: hidden.",
        "ja": "ルール{rule}（{scope}）は読取り専用ですが、記憶装置ではないため遮蔽されます。",
    },
    "composite_read_only": {
        "en": "Rule {rule} ({scope}) says read-only, and it is more than storage: hidden.",
        "ja": "ルール{rule}（{scope}）は読取り専用ですが、記憶装置以外の機能も含むため遮蔽されます。",
    },
    # kept by the control base
    "needed_disk": {
        "en": "The control base runs from it; the client VM has a virtual disk.",
        "ja": "制御基盤のディスクに使われています。クライアント環境は仮想ディスクを使います。",
    },
    "needed_lan": {
        "en": "The control base's LAN runs over it; the client VM has a virtual network card.",
        "ja": "制御基盤のLANに使われています。クライアント環境は仮想ネットワークカードを使います。",
    },
    "needed_wifi": {
        "en": "The control base's Wi-Fi runs over it; the client VM has a virtual network card.",
        "ja": "制御基盤のWi-Fiに使われています。クライアント環境は仮想ネットワークカードを使います。",
    },
    "board": {
        "en": "It is part of the board, which the control base runs.",
        "ja": "基板の一部であり、制御基盤が使います。",
    },
    "usb_controller": {
        "en": "USB controllers stay with the control base; what is plugged in is granted device by device.",
        "ja": "USBコントローラーは制御基盤に残り、接続されたデバイスごとに判定されます。",
    },
    "usb_hub": {
        "en": "Hubs stay with the control base; what is plugged into one is granted device by device.",
        "ja": "ハブは制御基盤に残り、接続されたデバイスごとに判定されます。",
    },
    "virtual_scsi": {
        "en": "Rule {rule} ({scope}) says {verdict}: the client VM has it as a virtual drive.",
        "ja": "ルール{rule}（{scope}）の「{verdict}」により、仮想ドライブとして共有されます。",
    },
    "with_controller": {
        "en": "It goes to the client VM with its controller {controller}.",
        "ja": "コントローラー{controller}とともにクライアント環境に渡されます。",
    },
    "with_usb": {
        "en": "It goes to the client VM with the USB device at port {port}.",
        "ja": "ポート{port}のUSBデバイスとともにクライアント環境に渡されます。",
    },
    # granted, and this PC cannot
    "no_iommu": {
        "en": "The PC has no IOMMU switched on: switch on VT-d or AMD-Vi in its firmware.",
        "ja": "IOMMUが有効ではありません。ファームウェアでVT-dまたはAMD-Viを有効にしてください。",
    },
    "no_group": {
        "en": "The IOMMU does not cover it, so it cannot be kept apart from the control base.",
        "ja": "IOMMUの対象外のため、制御基盤から分離できません。",
    },
    "no_reset": {
        "en": "It cannot be reset, so it would come up only once: it stays with the control base.",
        "ja": "リセットできず、二度目の起動で使えなくなるため渡せません。",
    },
    "group_shared": {
        "en": "The IOMMU cannot keep it apart from {others}, which stays: {reason}",
        "ja": "IOMMUグループが同じ{others}から分離できません（理由: {reason}）",
    },
    "controller_mode_unsafe": {
        "en": "A USB rule could deny a device, and nothing can be hidden behind a controller that is passed"
        " through: it stays with the control base.",
        "ja": "拒否され得るUSBデバイスがあります。渡したコントローラーの先は遮蔽できないため、渡せません。",
    },
    # what the PC could not do
    "pass_through_failed": {
        "en": "The client VM did not start with it, so it started without: another program may use it, or it"
        " cannot be reset. Look at the PC's log.",
        "ja": "これを渡すとクライアント環境が起動しないため、なしで起動しました。他で使用中か、"
        "リセットできない可能性があります。PCのログを確認してください。",
    },
    "pass_through_unhealthy": {
        "en": "The client VM did not come up healthy with it, so it started without. Its driver in the image"
        " may be missing.",
        "ja": "これを渡すとクライアント環境が正常に立ち上がらないため、なしで起動しました。"
        "イメージにドライバーがない可能性があります。",
    },
    # remarks about rules
    "unreachable": {
        "en": "Rule {rule} never decides: rule {other} comes before it for the same devices.",
        "ja": "ルール{rule}は効果がありません。同じデバイスについてルール{other}が先に適用されます。",
    },
    "denied": {
        "en": "Rule {rule} grants nothing: rule {other} hides the same devices, and hiding wins.",
        "ja": "ルール{rule}は何も許可しません。ルール{other}が同じデバイスを遮蔽し、遮蔽が優先されます。",
    },
    "contradicting": {
        "en": "Rules {rule} and {other} say the opposite of the same devices: they are hidden.",
        "ja": "ルール{rule}とルール{other}は同じデバイスについて矛盾しており、遮蔽されます。",
    },
    "overridden": {
        "en": "Rule {rule} never decides here: rule {other} of a narrower scope does.",
        "ja": "ルール{rule}はここでは効果がありません。より狭い範囲のルール{other}が優先されます。",
    },
    "expired": {"en": "Rule {rule} has ended.", "ja": "ルール{rule}は期限が過ぎています。"},
    "never_valid": {
        "en": "Rule {rule} ends before it begins.",
        "ja": "ルール{rule}は開始より前に終了します。",
    },
    "rule_matches_nothing": {
        "en": "Rule {rule} names {port}, which this PC does not have; a firmware update can move addresses.",
        "ja": "ルール{rule}の{port}はこのPCにありません。ファームウェアの更新で番号が変わることがあります。",
    },
    "rule_grants_needed": {
        "en": "Rule {rule} grants {device} in vain: {reason}",
        "ja": "ルール{rule}は{device}を許可していますが、渡せません: {reason}",
    },
    # rules that cannot be
    "text_too_long": {
        "en": "A text of the rule is too long: 200 characters, and 32 interfaces, are enough.",
        "ja": "文字列が長すぎます。200文字まで、インターフェースは32個までです。",
    },
    "bad_text": {
        "en": "A text of the rule holds a character that does not print; remove it.",
        "ja": "表示できない文字が含まれています。取り除いてください。",
    },
    "bad_port": {
        "en": "The port is not one: write 1-2.3 for USB, 0000:03:00.0 for PCI, sr0 for an optical drive.",
        "ja": "ポートの形式が正しくありません。USBは1-2.3、PCIは0000:03:00.0、光学ドライブはsr0の形式です。",
    },
    "unknown_class": {
        "en": "There is no such class: PCI has 03 for display or 0403 for audio, USB 08 for storage.",
        "ja": "そのクラスはありません。例: PCIの03（表示）や0403（音声）、USBの08（記憶装置）。",
    },
    "class_needs_bus": {
        "en": "A class means one thing on PCI and another on USB: choose the bus.",
        "ja": "クラスの意味はPCIとUSBで異なります。バスを選んでください。",
    },
    "bad_device_id": {
        "en": "The id is not one: write 0930:6545, or 0930:* for all of a maker.",
        "ja": "IDの形式が正しくありません。0930:6545、またはメーカー全体は0930:*です。",
    },
    "bad_interface": {
        "en": "The interface is not one: write 08:06:50, or 08:*:* for all storage.",
        "ja": "インターフェースの形式が正しくありません。08:06:50、または記憶装置全体は08:*:*です。",
    },
    "bus_contradicted": {
        "en": "No device on that bus has all that the rule names: serials and interfaces are USB's, ids and"
        " classes PCI's and USB's.",
        "ja": "バスにない項目です。シリアル番号とインターフェースはUSB、IDとクラスはPCIとUSBのものです。",
    },
    "read_only_not_storage": {
        "en": "Only USB storage (08) and optical drives can be made read-only.",
        "ja": "読取り専用にできるのはUSB記憶装置（08）と光学ドライブだけです。",
    },
    "never_granted": {
        "en": "Parts of the board and USB hubs stay with the control base; no rule can grant them.",
        "ja": "基板の部品とUSBハブは制御基盤に残り、許可できません。",
    },
    "bad_validity": {
        "en": "The rule ends before it begins: change one of the two times.",
        "ja": "終了が開始より前です。どちらかの日時を変更してください。",
    },
    # events
    "happening.plugged": {"en": "plugged in", "ja": "接続"},
    "happening.unplugged": {"en": "unplugged", "ja": "取外し"},
    "happening.attached": {"en": "given to the client VM", "ja": "クライアント環境に提供"},
    "happening.detached": {"en": "taken from the client VM", "ja": "クライアント環境から切離し"},
    "happening.failed": {"en": "failed", "ja": "失敗"},
    "attach_failed": {
        "en": "It could not be given to the client VM; it is tried again.",
        "ja": "クライアント環境に渡せませんでした。再試行します。",
    },
    "detach_failed": {
        "en": "It could not be taken from the client VM; it is tried again.",
        "ja": "クライアント環境から切り離せませんでした。再試行します。",
    },
    "device_held": {
        "en": "The client VM did not let it go; it is asked again.",
        "ja": "クライアント環境が手放しませんでした。再試行します。",
    },
    "foreign": {
        "en": "Someone had attached it by hand; it was taken off again.",
        "ja": "手作業で接続されていたため、切り離しました。",
    },
    "definition_changed": {
        "en": "Someone changed the machine by hand; its next start is as it should be again.",
        "ja": "手作業で構成が変更されました。次の起動で元に戻ります。",
    },
}
