<#
    Not proven: there is no Windows where this was written. Read it before you use it; docs/client-vm.md says
    what has to be seen working.

    Brings the user's documents into this client VM, or takes them away. Run as SYSTEM by the QEMU guest agent,
    that is by the PC's control base, with one JSON object on stdin:

      {"server": "100.127.255.242", "share": "documents", "user": "…", "password": "…", "owner": "alice"}
      {"close": true}

    A mapping belongs to a logon session, and SYSTEM's is not the user's. So this script hands the credential to
    a scheduled task that runs in the user's session, through a named pipe that only this user and SYSTEM can
    open: it is never an argument, a file or a stored credential.
#>
[CmdletBinding()]
param([switch] $InSession)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$task = 'OpenVRAS documents'
$pipe = 'openvras-documents'
# Known folders (KNOWNFOLDERID) and where they lie in the share.
$folders = [ordered] @{
    'FDD39AD0-238F-46AF-ADB4-6C85480369C7' = 'Documents'
    'B4BFCC3A-DB2C-424C-B029-7FE99A87C641' = 'Desktop'
    '33E28130-4E1E-4676-835A-98395C3BC3BB' = 'Pictures'
}

function Stop-WithTrouble([string] $Code, [string] $Said) {
    [Console]::Error.WriteLine("${Code}: $Said")
    exit 1
}

function Set-KnownFolder([guid] $Id, [string] $Path) {
    if (-not ('OpenVras.Shell' -as [type])) {
        Add-Type -Namespace OpenVras -Name Shell -MemberDefinition @'
[System.Runtime.InteropServices.DllImport("shell32.dll", CharSet = System.Runtime.InteropServices.CharSet.Unicode)]
public static extern int SHSetKnownFolderPath(ref System.Guid id, uint flags, System.IntPtr token, string path);
'@
    }
    $result = [OpenVras.Shell]::SHSetKnownFolderPath([ref] $Id, 0, [IntPtr]::Zero, $Path)
    if ($result -ne 0) { throw "SHSetKnownFolderPath($Id) ended with $result" }
}

function Open-InSession($Given) {
    $remote = "\\$($Given.server)\$($Given.share)"
    Get-SmbMapping -RemotePath $remote -ErrorAction SilentlyContinue | Remove-SmbMapping -Force
    New-SmbMapping -RemotePath $remote -UserName $Given.user -Password $Given.password `
        -Persistent $false -RequirePrivacy $true | Out-Null
    foreach ($id in $folders.Keys) {
        $path = Join-Path $remote $folders[$id]
        New-Item -ItemType Directory -Force -Path $path | Out-Null
        Set-KnownFolder $id $path
    }
    # Mail: Outlook's new data files (.pst) are made there by policy ForcePSTPath; see docs/client-vm.md.
    New-Item -ItemType Directory -Force -Path (Join-Path $remote 'Mail') | Out-Null
}

function Close-InSession {
    Get-SmbMapping | Where-Object RemotePath -Like '\\100.127.255.242\*' | Remove-SmbMapping -Force
}

if ($InSession) {
    $client = [IO.Pipes.NamedPipeClientStream]::new('.', $pipe, [IO.Pipes.PipeDirection]::In)
    $client.Connect(10000)
    $given = [IO.StreamReader]::new($client, [Text.Encoding]::UTF8).ReadToEnd() | ConvertFrom-Json
    if ($given.PSObject.Properties['close']) { Close-InSession } else { Open-InSession $given }
    exit 0
}

$text = [Console]::In.ReadToEnd()
try { $null = $text | ConvertFrom-Json } catch { Stop-WithTrouble 'bad_request' 'No JSON object came on stdin.' }
$name = (Get-CimInstance Win32_ComputerSystem).UserName
if (-not $name) { Stop-WithTrouble 'no_session' 'Nobody is logged on.' }

$rights = [IO.Pipes.PipeSecurity]::new()
foreach ($who in $name, 'NT AUTHORITY\SYSTEM') {
    $rights.AddAccessRule([IO.Pipes.PipeAccessRule]::new($who, 'FullControl', 'Allow'))
}
$server = [IO.Pipes.NamedPipeServerStream]::new($pipe, 'Out', 1, 'Byte', 'None', 0, 65536, $rights)
try {
    Start-ScheduledTask -TaskName $task
    $waiting = $server.WaitForConnectionAsync()
    if (-not $waiting.Wait(15000)) { Stop-WithTrouble 'session_silent' 'The task in the user''s session did not start.' }
    $bytes = [Text.Encoding]::UTF8.GetBytes($text)
    $server.Write($bytes, 0, $bytes.Length)
    $server.WaitForPipeDrain()
} finally {
    $server.Dispose()
}
$deadline = (Get-Date).AddSeconds(25)
while ((Get-ScheduledTask -TaskName $task).State -eq 'Running' -and (Get-Date) -lt $deadline) {
    Start-Sleep -Milliseconds 200
}
$code = (Get-ScheduledTaskInfo -TaskName $task).LastTaskResult
if ($code -ne 0) { Stop-WithTrouble 'not_mounted' "The task in the user's session ended with $code." }
