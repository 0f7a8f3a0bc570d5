//! What gateways have beyond other servers: sockets for some only, folders for uploads; and who wants them.

use std::collections::BTreeSet;

use brim_config::{
    Address, GatewaySection, HandlerSection, Kind, Role, SectionName, TcpSection, Tree, UdpSection,
};

use crate::plan::{line, literal};
use crate::sandbox;

/// Who may connect to a socket in the file system: user, group, mode.
type Access = (Option<&'static str>, Option<String>, u32);

/// The part of a section's units that not all kinds have.
#[derive(Default)]
pub(crate) struct Extra {
    /// Services to be started along.
    pub(crate) wants: Vec<String>,
    sockets: Vec<(Address, Access)>,
    handlers: Vec<HandlerSection>,
    /// What programs that are not ours need.
    sandbox: &'static str,
    /// Bytes of datagrams that wait in the kernel.
    receive_buffer: Option<usize>,
}

impl Extra {
    /// Of a section of whatever kind.
    pub(crate) fn of(tree: &Tree, name: &SectionName) -> Self {
        match name.kind {
            Kind::Gateway => Self::of_gateway(GatewaySection::read(tree, name).0),
            Kind::Wsgi => Self { wants: gateways(tree, name), ..Self::default() },
            Kind::Tcp => {
                let ((section, ()), _) = TcpSection::read(tree, name, |_, _| ());
                Self { sandbox: sandbox::directives(section.sandbox), ..Self::default() }
            }
            Kind::Udp => {
                let ((section, ()), _) = UdpSection::read(tree, name, |_, _| ());
                Self { receive_buffer: Some(section.receive_buffer), ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    fn of_gateway(section: GatewaySection) -> Self {
        let access = |role| match role {
            Role::Link => (Some("brim"), None, 0o600),
            Role::Send(index) | Role::Recv(index) => {
                let handler = section.handlers.get(index);
                let group = handler.map(|handler| handler.handler_group.clone());
                (None, group, handler.map_or(0o600, |handler| handler.handler_mode))
            }
        };
        let endpoints = section.endpoints().into_iter();
        let sockets = endpoints
            .filter(|endpoint| matches!(endpoint.listener.address, Address::Unix(_)))
            .map(|endpoint| (endpoint.listener.address, access(endpoint.role)));
        Self { sockets: sockets.collect(), handlers: section.handlers.clone(), ..Self::default() }
    }

    /// Lines for the `[Socket]` of a listener.
    pub(crate) fn socket(&self, text: &mut String, address: &Address) {
        if let Some(bytes) = self.receive_buffer {
            line(text, "ReceiveBuffer", &bytes.to_string());
        }
        let found = self.sockets.iter().find(|(known, _)| known == address);
        let Some((_, (user, group, mode))) = found else { return };
        if let Some(user) = user {
            line(text, "SocketUser", user);
        }
        if let Some(group) = group {
            line(text, "SocketGroup", group);
        }
        line(text, "SocketMode", &format!("{mode:04o}"));
    }

    /// The `[Service]` of the section, empty if there is nothing to say.
    pub(crate) fn service(&self) -> String {
        let mut text = String::new();
        let stores: BTreeSet<_> =
            self.handlers.iter().filter_map(|handler| handler.upload_store.as_deref()).collect();
        for store in &stores {
            // A folder that is not there costs uploads, not the service.
            line(&mut text, "ReadWritePaths", &format!("-{}", literal(&store.to_string_lossy())));
        }
        let groups: BTreeSet<_> =
            self.handlers.iter().filter_map(|handler| handler.upload_group.as_deref()).collect();
        for group in &groups {
            line(&mut text, "SupplementaryGroups", group);
        }
        if !groups.is_empty() {
            // With users of its own, it could give a file to no group but its own.
            line(&mut text, "PrivateUsers", "no");
            // The template's filter leaves it out.
            line(&mut text, "SystemCallFilter", "fchown");
        }
        text.push_str(self.sandbox);
        if !text.is_empty() {
            text.insert_str(0, "\n[Service]\n");
        }
        text
    }
}

/// The gateways of the handlers among a front end's apps.
fn gateways(tree: &Tree, name: &SectionName) -> Vec<String> {
    let apps = tree.section(&name.section()).and_then(|section| section.entry("apps"));
    let apps: Vec<_> = apps.map(|apps| apps.value.split_whitespace().collect()).unwrap_or_default();
    let gateways: BTreeSet<_> = HandlerSection::names(tree)
        .filter(|handler| apps.contains(handler))
        .filter_map(|handler| HandlerSection::gateway_of(tree, handler))
        .filter(|gateway| tree.section(&gateway.section()).is_some())
        .map(|gateway| gateway.unit())
        .collect();
    gateways.into_iter().collect()
}
