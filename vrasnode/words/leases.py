"""What the local page says of usage keys, in both languages. `words.say` finds it here."""

TABLE: dict[str, dict[str, str]] = {
    "lease_heading": {"en": "Use outside the company (checkout)", "ja": "社外での利用（持出し）"},
    "lease_of": {"en": "Documents of {owner}", "ja": "{owner} のドキュメント"},
    "lease_period": {"en": "{starts} to {ends}", "ja": "{starts} から {ends} まで"},
    "lease_period_label": {"en": "Period", "ja": "期間"},
    "lease_state_label": {"en": "State", "ja": "状態"},
    "lease_left_label": {"en": "Time left", "ja": "残り時間"},
    "lease_left_days": {"en": "{days} d {hours} h", "ja": "{days}日 {hours}時間"},
    "lease_left_hours": {"en": "{hours} h {minutes} min", "ja": "{hours}時間 {minutes}分"},
    "lease_folders_label": {"en": "Folders", "ja": "フォルダー"},
    "lease_folders_all": {"en": "all", "ja": "すべて"},
    "lease_state_offered": {
        "en": "A usage key is here. Choose a PIN for it before you leave.",
        "ja": "利用キーが届いています。社外へ出る前にPINを設定してください。",
    },
    "lease_state_offered_away": {
        "en": "A usage key is here, but it has no PIN yet. Log on on the company's LAN, then choose one.",
        "ja": "利用キーは届いていますが、PINが未設定です。社内LANでログオンして設定してください。",
    },
    "lease_state_ready": {
        "en": "Ready. Away from the company, open your documents here with the PIN.",
        "ja": "準備ができています。社外では、このページでPINを入力してドキュメントを開きます。",
    },
    "lease_state_open": {
        "en": "Your documents are open under this usage key.",
        "ja": "利用キーでドキュメントを開いています。",
    },
    "lease_state_opening": {"en": "Your documents are being opened.", "ja": "ドキュメントを開いています。"},
    "lease_state_closed": {
        "en": "Locked. Open your documents with the PIN.",
        "ja": "ロックされています。PINを入力するとドキュメントを開けます。",
    },
    "lease_state_on_lan": {
        "en": "Your documents are open on the company's LAN. The PIN is needed only away from it.",
        "ja": "社内LANでドキュメントを開いています。PINは社外でのみ必要です。",
    },
    "lease_ending": {"en": "This usage key is ending.", "ja": "利用キーを終了しています。"},
    "lease_pin": {"en": "PIN", "ja": "PIN（暗証番号）"},
    "lease_pin_new": {"en": "New PIN", "ja": "新しいPIN"},
    "lease_pin_again": {"en": "The same PIN again", "ja": "新しいPIN（確認）"},
    "lease_pin_rule": {
        "en": "At least {least} characters, no row of numbers. After {tries} wrong entries the key ends.",
        "ja": "{least}文字以上（連番は不可）。{tries}回間違えると利用キーは失効します。",
    },
    "lease_tries": {"en": "{tries} tries are left.", "ja": "残り{tries}回入力できます。"},
    "lease_choose": {"en": "Set this PIN", "ja": "PINを設定する"},
    "lease_open": {"en": "Open my documents", "ja": "ドキュメントを開く"},
    "lease_return": {"en": "Return the usage key now", "ja": "利用キーを今すぐ返却する"},
    "lease_return_sure": {
        "en": "I understand: my documents are locked at once, and open again only on the company's LAN.",
        "ja": "すぐにロックされ、以後は社内LANでのみ開けることを理解しました。",
    },
    "lease_warn_day": {
        "en": "This usage key ends in a day. Save your work in time.",
        "ja": "利用キーはあと1日で終了します。早めに作業を保存してください。",
    },
    "lease_warn_days": {
        "en": "This usage key ends in {days} days. Save your work in time.",
        "ja": "利用キーはあと{days}日で終了します。早めに作業を保存してください。",
    },
    "lease_warn_hours": {
        "en": "This usage key ends in {hours} h {minutes} min. Then your documents lock: save your work.",
        "ja": "利用キーはあと{hours}時間{minutes}分で終了し、ロックされます。作業を保存してください。",
    },
    "lease_notice_pin": {
        "en": "A usage key is here. Choose its PIN at http://vras.internal/ before you leave.",
        "ja": "利用キーが届いています。社外へ出る前に http://vras.internal/ でPINを設定してください。",
    },
    "lease_kept_pin": {
        "en": "This PC has no TPM that keeps the key. Whoever copies its disk can try PINs without limit,"
        " and can use the copy also after the end if its clock is set back. Take a long PIN.",
        "ja": "このPCには利用キーを守るTPMがありません。ディスクを複製した者は、PINを何度でも試せます。"
        "時計を戻せば、期限後も複製を使えます。長いPINを設定してください。",
    },
    "lease_kept_software_tpm": {
        "en": "The TPM of this PC is a program. Whoever puts back a copy of its file can use the key"
        " after its end.",
        "ja": "このPCのTPMはソフトウェアです。そのファイルの複製を戻せば、期限後も利用キーを使えます。",
    },
    "lease_limited": {
        "en": "Away from the company only these folders are there. All others stay locked in.",
        "ja": "社外では、指定されたフォルダーだけが表示されます。それ以外は開きません。",
    },
    "no_such_folder": {
        "en": "None of the usage key's folders is in your documents any more. Ask for another usage key.",
        "ja": "利用キーで指定されたフォルダーがありません。利用キーを申請し直してください。",
    },
    "said_picked_up": {
        "en": "The PIN is set. The usage key is on this PC.",
        "ja": "PINを設定しました。利用キーはこのPCにあります。",
    },
    "said_opening": {
        "en": "The PIN is right. Your documents open in a moment.",
        "ja": "PINを確認しました。まもなくドキュメントが開きます。",
    },
    "said_returned": {
        "en": "The usage key is returned. Your documents are locked.",
        "ja": "利用キーを返却しました。ドキュメントはロックされます。",
    },
    "pin_differs": {"en": "The two PINs are not the same.", "ja": "2つのPINが一致しません。"},
    "pin_short": {
        "en": "The PIN is too short.",
        "ja": "PINが短すぎます。",
    },
    "pin_long": {"en": "The PIN is too long.", "ja": "PINが長すぎます。"},
    "pin_simple": {
        "en": "This PIN is guessed at once. Take one that is no row of numbers.",
        "ja": "推測されやすいPINです。連番や同じ文字の繰り返しは使えません。",
    },
    "wrong_pin": {"en": "The PIN is wrong.", "ja": "PINが違います。"},
    "pin_tries": {
        "en": "The PIN was wrong too often: this usage key has ended. Log on on the company's LAN.",
        "ja": "PINの入力を規定回数間違えたため、利用キーは失効しました。社内LANではドキュメントを開けます。",
    },
    "pin_needed": {"en": "Enter the PIN again.", "ja": "もう一度PINを入力してください。"},
    "tpm_locked_out": {
        "en": "The TPM has seen too many wrong PINs. Wait ten minutes, then try again.",
        "ja": "PINの間違いが続いたため、TPMがロックしています。10分待ってからもう一度入力してください。",
    },
    "key_gone": {
        "en": "The TPM does not give this usage key any more: its period is over.",
        "ja": "期限を過ぎたため、TPMは利用キーを渡しません。",
    },
    "lease_gone": {"en": "This usage key has ended.", "ja": "この利用キーは終了しています。"},
    "period_over": {"en": "The period of this usage key is over.", "ja": "利用キーの期限が切れました。"},
    "budget_over": {
        "en": "The hours that this PC may be on under this usage key are used up.",
        "ja": "この利用キーで利用できる稼働時間を使い切りました。",
    },
    "lease_not_begun": {
        "en": "The period of this usage key has not begun yet.",
        "ja": "利用キーの開始日時になっていません。",
    },
    "clock_set_back": {
        "en": "The clock of this PC is behind. Set it right, or connect to the company's network.",
        "ja": "このPCの時計が遅れています。正しい時刻に合わせるか、社内ネットワークに接続してください。",
    },
    "clock_restored": {
        "en": "This PC is in an earlier state than it was. Connect it to the company's network.",
        "ja": "このPCは以前の状態に戻されています。社内ネットワークに接続してください。",
    },
    "state_missing": {
        "en": "What this PC knew of its usage keys is gone. They have ended. Connect to the company's"
        " network.",
        "ja": "利用キーの記録が失われたため、利用キーは失効しました。社内ネットワークに接続してください。",
    },
    "state_edited": {
        "en": "What this PC knew of its usage keys was changed. They have ended. Connect to the company's"
        " network.",
        "ja": "利用キーの記録が改変されたため、利用キーは失効しました。社内ネットワークに接続してください。",
    },
    "state_restored": {
        "en": "What this PC knew of its usage keys is an old copy. They have ended. Connect to the company's"
        " network.",
        "ja": "利用キーの記録が古い複製のため、利用キーは失効しました。社内ネットワークに接続してください。",
    },
    "not_on_lan": {
        "en": "Log on on the company's LAN first: a PIN is chosen while your documents are open there.",
        "ja": "PINは、社内LANでドキュメントを開いているときに設定します。先に社内LANでログオンしてください。",
    },
    "open_already": {"en": "Your documents are open already.", "ja": "ドキュメントはすでに開いています。"},
    "picked_up_already": {
        "en": "This usage key has its PIN already.",
        "ja": "この利用キーにはPINが設定済みです。",
    },
    "lease_needs_tpm": {
        "en": "This PC has no TPM of its own, and the usage key asks for one. Tell an administrator.",
        "ja": "利用キーにはTPMが必要ですが、このPCにはありません。管理者に連絡してください。",
    },
    "not_sure": {
        "en": "Nothing was returned: tick the box first.",
        "ja": "返却していません。確認欄にチェックを入れてください。",
    },
    "sealed_elsewhere": {
        "en": "This was kept by the TPM of another PC.",
        "ja": "別のPCのTPMで保護されています。",
    },
}
