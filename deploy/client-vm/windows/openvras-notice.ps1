<#
    Not proven: there is no Windows where this was written. Read it before you use it; docs/client-vm.md says
    what has to be seen working.

    Says to the user what the PC has to say of a usage key: that it ends soon (3 days, 1 day, 1 hour, 10 minutes
    before) or waits for its PIN. Runs in the user's session by a scheduled task; has no rights and keeps nothing.
#>
[CmdletBinding()]
param([string] $Pc = 'http://vras.internal', [int] $AgainSeconds = 30)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$language = if ((Get-UICulture).TwoLetterISOLanguageName -eq 'ja') { 'ja' } else { 'en' }
$warned = ''
while ($true) {
    try {
        $told = Invoke-RestMethod -Uri "$Pc/checkout/notice" -TimeoutSec 20 -Headers @{ 'Accept-Language' = $language }
        if ($told.stage -and $told.stage -ne $warned) {
            $warned = $told.stage
            # msg.exe shows a window in the user's own session; it stays until it was read.
            & "$env:SystemRoot\System32\msg.exe" $env:USERNAME "OpenVRAS: $($told.words)" 2>$null
        }
    } catch { Write-Verbose 'The control base does not answer: it is asked again.' }
    Start-Sleep -Seconds $AgainSeconds
}
