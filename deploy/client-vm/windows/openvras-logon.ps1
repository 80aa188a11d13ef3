<#
    Not proven: there is no Windows where this was written. Read it before you use it; docs/client-vm.md says
    what has to be seen working.

    Proves at logon, by the user's own Kerberos ticket, who sits here; then this PC opens the user's documents.
    Runs in the user's session by a scheduled task at logon; asks for no password and keeps nothing.
#>
[CmdletBinding()]
param([string] $Pc = 'http://vras.internal', [int] $OpenSeconds = 90)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$ja = (Get-UICulture).TwoLetterISOLanguageName -eq 'ja'
$language = if ($ja) { 'ja' } else { 'en' }
$words = @{
    no_pc     = @('This PC''s control base does not answer. Tell your help desk if it stays so.',
                  'このPCの制御基盤が応答しません。続く場合はヘルプデスクに連絡してください。')
    no_server = @('The management server cannot be reached: your documents open on the company LAN.',
                  '管理サーバに接続できません。ドキュメントは社内LANで開けます。')
    refused   = @('The management server refused this logon.', '管理サーバがこのログオンを拒否しました。')
    too_slow  = @('Your documents are still being opened.', 'ドキュメントを開いています。')
}

function Show-Trouble([string] $Code, [string] $Said = '') {
    $text = $Said
    if ($words.ContainsKey($Code)) { $text = $words[$Code][[int] $ja] }
    Write-Warning "OpenVRAS: $text [$Code]"
    # msg.exe shows a window in the user's own session, also before Explorer runs.
    & "$env:SystemRoot\System32\msg.exe" $env:USERNAME "OpenVRAS: $text [$Code]" 2>$null
}

function Get-Documents {
    Invoke-RestMethod -Uri "$Pc/documents" -TimeoutSec 20 -Headers @{ 'Accept-Language' = $language }
}

try {
    $offer = Invoke-RestMethod -Method Post -Uri "$Pc/logon" -TimeoutSec 20 -Headers @{ 'X-OpenVRAS' = '1' }
} catch {
    Show-Trouble 'no_pc'
    exit 1
}

try {
    # Kerberos by the ticket of this session. The server refuses NTLM, so a fallback to it opens nothing.
    $body = @{ nonce = $offer.nonce; client = $offer.client } | ConvertTo-Json -Compress
    Invoke-RestMethod -Method Post -Uri $offer.server -UseDefaultCredentials -TimeoutSec 20 `
        -ContentType 'application/json' -Body $body -Headers @{ 'Accept-Language' = $language } | Out-Null
} catch {
    $response = $_.Exception.PSObject.Properties['Response']
    if ($null -eq $response -or $null -eq $response.Value) {
        Show-Trouble 'no_server'
    } else {
        $code, $detail = 'refused', ''
        try {
            $problem = $_.ErrorDetails.Message | ConvertFrom-Json
            $code, $detail = $problem.code, $problem.detail
        } catch { Write-Verbose 'The answer was no problem document.' }
        Show-Trouble $code $detail
    }
    exit 1
}

$deadline = (Get-Date).AddSeconds($OpenSeconds)
while ((Get-Date) -lt $deadline) {
    $state = Get-Documents
    if ($state.state -eq 'open') { exit 0 }
    if ($state.state -eq 'broken') {
        Show-Trouble $state.code $state.words
        exit 1
    }
    Start-Sleep -Seconds 1
}
Show-Trouble 'too_slow'
exit 1
