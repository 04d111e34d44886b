<#
.SYNOPSIS
Makes a codex-proxy in WSL2 reachable on a port of the Windows host.
.DESCRIPTION
WSL2 gets a new address at every start. This script updates the `netsh interface portproxy` rule that forwards a
Windows port to it. Run it in an elevated PowerShell after each start of WSL. In WSL the server must listen on that
address: PROXY_HOST=0.0.0.0, with a PROXY_API_KEY, and with the names that clients use in PROXY_ALLOWED_HOSTS.
Programs on Windows itself do not need this: WSL2 forwards localhost.
.PARAMETER Port
The port on Windows and of the server in WSL.
.PARAMETER ListenAddress
The Windows address to listen on. The default, 0.0.0.0, means all addresses.
.PARAMETER Distribution
The WSL distribution that the server runs in. Default: WSL's default distribution.
.PARAMETER OpenFirewall
Also opens the firewall, on private networks only.
.PARAMETER Remove
Removes the rules again.
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
    throw 'WSL reported no address. Check that it is running: wsl --exec hostname -I'
}
netsh interface portproxy add v4tov4 listenaddress=$listen listenport=$Port connectaddress=$address connectport=$Port | Out-Null
if ($LASTEXITCODE -ne 0) {
    throw "netsh could not forward port $Port (exit code $LASTEXITCODE)."
}
if ($OpenFirewall) {
    New-NetFirewallRule -DisplayName $rule -Direction Inbound -Action Allow -Protocol TCP -LocalPort $Port -Profile Private | Out-Null
}
Write-Output "Port $Port of $listen is passed on to $address, port $Port."
