"""What the local page says, in both languages. `words.say` finds it here."""

TABLE: dict[str, dict[str, str]] = {
    "page_agent": {"en": "Node agent", "ja": "ノードエージェント"},
    "page_client_vm": {"en": "Client VM", "ja": "クライアント環境"},
    "page_documents": {"en": "Documents", "ja": "ドキュメント"},
    "page_devices": {"en": "Devices", "ja": "デバイス"},
    "page_no_devices": {"en": "No device was found.", "ja": "デバイスは見つかりませんでした。"},
    "page_not_found": {"en": "There is no such page.", "ja": "そのページはありません。"},
    "page_reachable": {"en": "reachable, last contact {time}", "ja": "接続中、最終接続 {time}"},
    "page_server": {"en": "Management server", "ja": "管理サーバ"},
    "page_unreachable": {
        "en": "not reachable, last contact {time}",
        "ja": "接続できません、最終接続 {time}",
    },
    "page_wifi": {"en": "Wi-Fi", "ja": "無線LAN（Wi-Fi）"},
    "wifi_connected": {"en": "connected to “{ssid}”", "ja": "「{ssid}」に接続中"},
    "wifi_off": {"en": "not in use", "ja": "使用していません"},
    "wifi_out_of_reach": {
        "en": "The network is not in reach.",
        "ja": "ネットワークが見つかりません（電波の届く範囲にありません）。",
    },
    "wifi_refused": {
        "en": "The network refuses this PC. Its certificate or password is not accepted there.",
        "ja": "ネットワークがこのPCを拒否しました。証明書またはパスワードが受け付けられていません。",
    },
    "wifi_searching": {"en": "not connected to “{ssid}”", "ja": "「{ssid}」に接続していません"},
    "wifi_server_unproven": {
        "en": "The network cannot prove that it is the company's: certificate or name of its RADIUS server"
        " are others than the group's page says. This PC does not join it.",
        "ja": "会社のネットワークであることを確認できません。RADIUSサーバの証明書または名前が、"
        "グループの設定と異なります。このPCは接続しません。",
    },
    "wifi_switched_off": {
        "en": "The Wi-Fi card is switched off by a switch or key of this PC.",
        "ja": "Wi-Fiカードが、このPCのスイッチまたはキーで切られています。",
    },
    "wifi_wrong_secret": {
        "en": "The passphrase is not that of the network. Correct it on the group's page.",
        "ja": "パスフレーズがネットワークのものと一致しません。グループのページで訂正してください。",
    },
    "holding": {
        "en": "Your documents are being copied ({percent} %). This PC switches itself off after that, in"
        " {seconds} seconds at the latest. Enter or the power button: leave now; the rest is copied at the"
        " next start.",
        "ja": "ドキュメントを複製しています（{percent}%）。"
        "終わりしだい、遅くとも{seconds}秒後に電源が切れます。"
        "すぐに帰る場合はEnterキーまたは電源ボタンを押してください。残りは次回の起動時に複製します。",
    },
    "switching_off": {"en": "This PC is being switched off.", "ja": "電源を切っています。"},
    "page_replicas": {"en": "Copies on the company's NAS", "ja": "NASへの複製"},
    "replica_last": {"en": "last copy begun {time}", "ja": "最終複製の開始 {time}"},
    "replica_never": {"en": "not copied yet", "ja": "まだ複製されていません"},
    "replica_running": {
        "en": "being copied: {files} files, {done} of {total}",
        "ja": "複製中: {files}ファイル、{done} / {total}",
    },
    "replica_failed": {
        "en": "The last copy did not end well: {why}",
        "ja": "前回の複製は失敗しました: {why}",
    },
    "nas_full": {
        "en": "The company's NAS is full. Tell an administrator. Nothing is lost; it is tried again.",
        "ja": "NASに空きがありません。管理者に連絡してください。失われたデータはなく、自動的に再試行します。",
    },
    "nas_failed": {
        "en": "The company's NAS does not take it. Tell an administrator. Nothing is lost; it goes on later.",
        "ja": "NASに書き込めません。管理者に連絡してください。失われたデータはなく、自動的に再試行します。",
    },
    "gateway_away": {
        "en": "The server for copies is not reached from here. It is tried again by itself.",
        "ja": "ここから複製用のサーバに接続できません。自動的に再試行します。",
    },
    "gateway_refused": {
        "en": "The server for copies does not let this PC in. Tell an administrator.",
        "ja": "複製用のサーバに拒否されました。管理者に連絡してください。",
    },
    "gateway_forbids": {
        "en": "The server for copies forbids this. Tell an administrator.",
        "ja": "複製用のサーバで許可されていません。管理者に連絡してください。",
    },
    "gateway_certificate": {
        "en": "The server for copies shows a certificate that is not believed. Tell an administrator.",
        "ja": "複製用のサーバの証明書を信頼できません。管理者に連絡してください。",
    },
    "volume_full": {
        "en": "There is no room left beside your documents. Delete what you no longer need.",
        "ja": "ドキュメントの領域に空きがありません。不要なものを削除してください。",
    },
    "replica_cut_off": {
        "en": "The last copy was interrupted; it goes on by itself.",
        "ja": "前回の複製は中断されました。自動的に再開します。",
    },
    "replica_waiting": {"en": "A copy has been asked for.", "ja": "複製を受け付けました。"},
    "page_back": {"en": "Back", "ja": "戻る"},
    "not_waited_for": {
        "en": "The copy is not waited for. What is not copied yet is copied at the next start of this PC.",
        "ja": "複製を待たずに電源を切ります。残りは次回の起動時に複製します。",
    },
    "copy_now": {"en": "Copy now", "ja": "今すぐ複製"},
    "leave_now": {"en": "Do not wait for the copy at shutdown", "ja": "終了時に複製を待たない"},
    "no_replicas": {
        "en": "Nothing is copied here now: your documents are locked, or no NAS is set up.",
        "ja": "今は複製できません。ドキュメントがロックされているか、NASが設定されていません。",
    },
    "update_title": {"en": "New version", "ja": "新しい版"},
    "update_ready": {
        "en": "A new version of the client VM is ready. It starts the next time the client VM starts.",
        "ja": "クライアント環境の新しい版の準備ができました。次回の起動で切り替わります。",
    },
    "update_put_off": {"en": "Put off until {time}.", "ja": "{time} まで延期しました。"},
    "update_deadline": {
        "en": "From {time} on, the client VM is shut down for it.",
        "ja": "{time} を過ぎると、クライアント環境をシャットダウンして切り替えます。",
    },
    "update_warning": {
        "en": "The client VM is shut down at {time}. Save your work.",
        "ja": "{time} にクライアント環境をシャットダウンします。作業を保存してください。",
    },
    "update_postpone": {
        "en": "Put it off by some hours ({left} left)",
        "ja": "数時間延期する（残り{left}回）",
    },
    "nothing_staged": {"en": "No new version waits.", "ja": "切替えを待つ版はありません。"},
    "no_more_putting_off": {"en": "It cannot be put off any more.", "ja": "これ以上延期できません。"},
    "page_virtual_server": {"en": "Virtual server", "ja": "仮想サーバ環境"},
    "machine_absent": {"en": "not there yet", "ja": "未導入"},
    "machine_running": {"en": "running", "ja": "稼働中"},
    "machine_starting": {"en": "starting", "ja": "起動中"},
    "machine_stopped": {"en": "stopped", "ja": "停止中"},
    "volume_absent": {"en": "not made yet", "ja": "未作成"},
    "volume_locked": {"en": "locked", "ja": "ロック中"},
    "volume_opening": {"en": "being opened", "ja": "開いています"},
    "volume_open": {"en": "open", "ja": "使用可能"},
    "volume_locking": {"en": "being locked", "ja": "ロックしています"},
    "volume_broken": {"en": "cannot be opened", "ja": "開けません"},
}
