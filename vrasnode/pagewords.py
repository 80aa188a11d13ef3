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
