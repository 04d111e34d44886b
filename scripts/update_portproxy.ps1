<#
.SYNOPSIS
Makes a codex-proxy that runs in WSL2 reachable at a port of the Windows host.
.DESCRIPTION
WSL2 has an address of its own that changes with every start; this renews the rule of `netsh interface portproxy` that passes a
port of Windows on to it. Run it in an elevated PowerShell, after each start of WSL. In WSL the server must listen on that
address: PROXY_HOST=0.0.0.0, with a PROXY_API_KEY, and with the names that clients use in PROXY_ALLOWED_HOSTS.
Programs on Windows itself need none of this: WSL2 passes localhost on.
.PARAMETER Port
The port of Windows, and of the server in WSL.
.PARAMETER ListenAddress
The address of Windows to listen on; 0.0.0.0, the default, is all of them.
.PARAMETER Distribution
The WSL distribution that the server runs in; without it the default one.
.PARAMETER OpenFirewall
Also lets others in through the firewall, in private networks only.
.PARAMETER Remove
Takes the rules away again.
.EXAMPLE
.\update_portproxy.ps1 -Port 8000 -OpenFirewall
.EXAMPLE
.\update_portproxy.ps1 -Port 8000 -Remove
#>
[CmdletBinding()]
param(
    [ValidateRange(1, 65535)][int]$Port = 8000,
    [ipaddress]$ListenAddress = '0.0.0.0',
    [string]$Distribution,
    [switch]$OpenFirewall,
    [switch]$Remove
)

$ErrorActionPreference = 'Stop'
$listen = $ListenAddress.ToString()
$rule = "codex-proxy $Port"

$user = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $user.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'This needs the rights of an administrator. Start PowerShell with "Run as administrator" and run it again.'
}

# Of an earlier run; that there is none is no error.
netsh interface portproxy delete v4tov4 listenaddress=$listen listenport=$Port | Out-Null
Get-NetFirewallRule -DisplayName $rule -ErrorAction SilentlyContinue | Remove-NetFirewallRule
if ($Remove) {
    Write-Output "Port $Port of $listen is not passed on any more."
    return
}

$chosen = @()
if ($Distribution) {
    $chosen = @('--distribution', $Distribution)
}
$address = (wsl.exe @chosen --exec hostname -I) -split '\s+' | Where-Object { $_ -match '^\d+(\.\d+){3}$' } | Select-Object -First 1
if (-not $address) {
    throw 'WSL told no address. Does it run? Try: wsl --exec hostname -I'
}
netsh interface portproxy add v4tov4 listenaddress=$listen listenport=$Port connectaddress=$address connectport=$Port | Out-Null
if ($LASTEXITCODE -ne 0) {
    throw "netsh could not pass port $Port on (exit code $LASTEXITCODE)."
}
if ($OpenFirewall) {
    New-NetFirewallRule -DisplayName $rule -Direction Inbound -Action Allow -Protocol TCP -LocalPort $Port -Profile Private | Out-Null
}
Write-Output "Port $Port of $listen is passed on to $address, port $Port."
