<#
    Not proven: there is no Windows where this was written. Run once in the master image, as administrator, with
    the QEMU guest agent (virtio-win) installed: puts the scripts in place and makes their scheduled tasks.
#>
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$place = Join-Path $env:ProgramFiles 'OpenVRAS'
New-Item -ItemType Directory -Force -Path $place | Out-Null
Copy-Item -Force -Path (Join-Path $PSScriptRoot '*.ps1') -Destination $place
$users = New-ScheduledTaskPrincipal -GroupId 'S-1-5-32-545' -RunLevel Limited

function Add-Task([string] $Name, [string] $Arguments, $Trigger) {
    $run = '-NoProfile -NonInteractive -ExecutionPolicy Bypass -WindowStyle Hidden -File'
    $action = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument "$run `"$place\$Arguments"
    $more = if ($Trigger) { @{ Trigger = $Trigger } } else { @{} }
    Register-ScheduledTask -Force -TaskName $Name -Action $action -Principal $users @more | Out-Null
}

Add-Task 'OpenVRAS logon' 'openvras-logon.ps1"' (New-ScheduledTaskTrigger -AtLogOn)
Add-Task 'OpenVRAS notice' 'openvras-notice.ps1"' (New-ScheduledTaskTrigger -AtLogOn)
# Started by openvras-documents.ps1 as SYSTEM; in the session of whoever is logged on.
Add-Task 'OpenVRAS documents' 'openvras-documents.ps1" -InSession' $null
