//! What the templates keep from programs, and what of it a section gives back.

use brim_config::Sandbox;

/// What `normal` gives back of what the template keeps from a program.
const NORMAL: &str = "\
MemoryDenyWriteExecute=no
PrivateUsers=no
ProcSubset=all
ProtectHome=read-only
ProtectProc=default
ProtectSystem=full
RestrictAddressFamilies=AF_NETLINK
SystemCallFilter=
SystemCallFilter=@system-service
";

/// What `off` gives back: all of it.
const OFF: &str = "\
CapabilityBoundingSet=~
DevicePolicy=auto
LockPersonality=no
MemoryDenyWriteExecute=no
NoNewPrivileges=no
PrivateDevices=no
PrivateMounts=no
PrivateTmp=no
PrivateUsers=no
ProcSubset=all
ProtectClock=no
ProtectControlGroups=no
ProtectHome=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
ProtectProc=default
ProtectSystem=no
RemoveIPC=no
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
SystemCallArchitectures=
SystemCallErrorNumber=
SystemCallFilter=
";

/// Lines for the `[Service]` of a unit of one of the templates.
pub(crate) fn directives(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::Strict => "",
        Sandbox::Normal => NORMAL,
        Sandbox::Off => OFF,
    }
}
