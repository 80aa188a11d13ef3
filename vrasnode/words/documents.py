"""What is said of user data that does not open, in both languages. `words.say` finds it here."""

TABLE: dict[str, dict[str, str]] = {
    "header_missing": {
        "en": "Send the header {header} or JSON: so no web page can do this for you.",
        "ja": "ヘッダー{header}を付けるか、JSONで送ってください（Webページからの要求を防ぐためです）。",
    },
    "no_logon_url": {
        "en": "This PC does not know yet where to log on. It asks the server; try again in a moment.",
        "ja": "ログオン先がまだ管理サーバから届いていません。少し待ってからもう一度お試しください。",
    },
    "unknown_logon": {
        "en": "This logon did not happen at this PC just now. Log on again.",
        "ja": "このPCでの直前のログオンではありません。もう一度ログオンしてください。",
    },
    "no_custodians": {
        "en": "Two recovery custodians are needed before documents are kept. Tell an administrator.",
        "ja": "復旧鍵の保管者が2名登録されていません。管理者に連絡してください。",
    },
    "server_unreachable": {
        "en": "The management server does not answer. Documents open on the company's network.",
        "ja": "管理サーバに接続できません。ドキュメントは社内ネットワークで開けます。",
    },
    "service_silent": {
        "en": "The virtual server does not answer yet. It is waited for.",
        "ja": "仮想サーバ環境がまだ応答していません。応答を待っています。",
    },
    "no_session": {
        "en": "The management server knows this logon no more. Log on again.",
        "ja": "管理サーバでこのログオンは無効です。もう一度ログオンしてください。",
    },
    "volume_damaged": {
        "en": "The documents' volume is damaged. Nothing was changed on it; an administrator can recover it.",
        "ja": "ドキュメントのボリュームが破損しています。変更は加えていません。管理者が復旧できます。",
    },
    "volume_truncated": {
        "en": "A part of the documents' volume is missing. Nothing was changed on it; tell an administrator.",
        "ja": "ドキュメントのボリュームの一部が欠けています。変更はしていません。管理者に連絡してください。",
    },
    "volume_missing": {
        "en": "The documents' volume is gone from this PC. Tell your administrator.",
        "ja": "ドキュメントのボリュームがこのPCにありません。管理者に連絡してください。",
    },
    "no_filesystem": {
        "en": "The documents' volume holds nothing that can be read. Tell your administrator.",
        "ja": "ドキュメントのボリュームを読み取れません。管理者に連絡してください。",
    },
    "wrong_key": {
        "en": "The key does not open the documents' volume. The recovery custodians can open it.",
        "ja": "鍵がドキュメントのボリュームに合いません。復旧鍵の保管者が開くことができます。",
    },
    "volume_read_only": {
        "en": "The documents can only be read since an error. Make room on this PC, then log on again.",
        "ja": "エラーのため読み取り専用になっています。PCの空き容量を確保し、もう一度ログオンしてください。",
    },
    "disk_full": {
        "en": "The disk of this PC is full.",
        "ja": "このPCのディスクに空きがありません。",
    },
    "being_copied": {
        "en": "An interrupted copy to the NAS is being finished. Nobody can use the documents meanwhile.",
        "ja": "中断したNASへの複製を続けています。その間、ドキュメントは誰も使用できません。",
    },
    "clock_off": {
        "en": "The clocks of this PC and of the management server differ by {time} (hours:minutes). Until "
        "they agree no logon can be proven and no documents open; nothing is lost. Set this PC's clock; "
        "if it is right, tell your administrator.",
        "ja": "このPCと管理サーバの時計が{time}（時間:分）ずれています。"
        "合うまでログオンを証明できず、ドキュメントは開きません（データは失われません）。"
        "PCの時計を合わせてください。正しい場合は管理者に連絡してください。",
    },
    "unencrypted_allowed": {
        "en": "User data is allowed here though the state directory is not encrypted: for trials only.",
        "ja": "状態ディレクトリーが暗号化されていませんが、ユーザーデータの保存が許可されています"
        "（試験用）。",
    },
    "unencrypted_allowed.remedy": {
        "en": "Run the agent without --allow-unencrypted-state where people work.",
        "ja": "実運用では--allow-unencrypted-stateを付けずに起動してください。",
    },
}


def clock_details(off_s: int) -> dict[str, str]:
    """What `clock_off` says of so many seconds."""
    minutes = abs(off_s) // 60
    return {"time": f"{minutes // 60}:{minutes % 60:02}"}
