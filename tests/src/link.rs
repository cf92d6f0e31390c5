//! What can be done to a seat's cable: slow it, make it lossy, pull it, give it another address.

use std::path::PathBuf;

use crate::namespace::Namespace;
use crate::room::{BRIDGE, FAR_BRIDGE};

/// A seat's network: its namespace and its port of the switch.
#[derive(Debug)]
pub struct Link {
    pub(crate) inside: Namespace,
    pub(crate) switch: String,
    pub(crate) port: String,
    pub(crate) number: u8,
}

impl Link {
    /// What a thread opens to move in.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inside.path()
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.inside
    }

    /// Limits both directions to `mbit` Mbit/s.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn shape(&self, mbit: u32) {
        let rate = format!("{mbit}mbit");
        let args = |dev: &str| -> Vec<String> {
            ["qdisc", "replace", "dev", dev, "root", "tbf", "rate", &rate, "burst", "64k", "latency", "50ms"]
                .map(str::to_owned)
                .to_vec()
        };
        assert!(self.inside.tc(&as_strs(&args("eth0"))), "cannot shape eth0 of {}", self.inside.name());
        assert!(self.switch_tc(&args(&self.port)), "cannot shape {}", self.port);
    }

    /// Takes the limit away.
    pub fn unshape(&self) {
        // Nothing to take away is as good as taken away.
        let _ = self.inside.tc(&["qdisc", "del", "dev", "eth0", "root"]);
        let _ = self.switch_tc(&["qdisc", "del", "dev", &self.port, "root"].map(str::to_owned));
    }

    /// Drops this many in a hundred of the UDP packets that arrive here. With 0 the loss ends.
    ///
    /// # Panics
    /// When the packet filter refuses.
    pub fn lose(&self, percent: u32) {
        let _ = self.inside.try_shell("nft delete table inet bonfire_room 2>/dev/null");
        // The filter takes no "below 100 of 100".
        let part = if percent < 100 { format!("numgen random mod 100 \\< {percent}") } else { String::new() };
        if percent > 0 {
            self.inside.shell(&format!(
                "nft add table inet bonfire_room && \
                 nft add chain inet bonfire_room in '{{ type filter hook input priority 0; }}' && \
                 nft add rule inet bonfire_room in meta l4proto udp {part} counter drop"
            ));
        }
    }

    /// Puts up what many machines come with: what comes in from the network is let in only as an answer, everything that
    /// this machine says to itself is let in.
    ///
    /// # Panics
    /// When the packet filter refuses.
    pub fn raise_firewall(&self) {
        self.inside.shell(
            "nft add table inet bonfire_wall && \
             nft add chain inet bonfire_wall in '{ type filter hook input priority 0; policy accept; }' && \
             nft add rule inet bonfire_wall in iif lo accept && \
             nft add rule inet bonfire_wall in udp dport '{ 5353, 26634 }' counter drop",
        );
    }

    /// How many packets the loss took, to prove that it happened.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let rules = self.inside.try_shell("nft list table inet bonfire_room").unwrap_or_default();
        rules.split_whitespace().skip_while(|w| *w != "packets").nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Takes the port off the switch: packets go nowhere and neither side is told.
    pub fn cut(&self) {
        self.switch_ip(&["link", "set", &self.port, "nomaster"]);
    }

    /// Moves the port to the far switch: this seat sees only others that were moved there.
    pub fn move_away(&self) {
        self.switch_ip(&["link", "set", &self.port, "master", FAR_BRIDGE]);
    }

    /// Puts the port back where it was, and up.
    pub fn heal(&self) {
        self.switch_ip(&["link", "set", &self.port, "master", BRIDGE]);
        self.switch_ip(&["link", "set", &self.port, "up"]);
    }

    /// Pulls the cable: the seat sees its carrier go.
    pub fn unplug(&self) {
        self.switch_ip(&["link", "set", &self.port, "down"]);
    }

    /// Gives the seat the IPv4 address `10.77.0.<last>` in place of the one it has.
    pub fn change_address(&self, last: u8) {
        self.inside.ip(&["-4", "addr", "flush", "dev", "eth0"]);
        self.inside.ip(&["addr", "add", &format!("10.77.0.{last}/24"), "dev", "eth0"]);
        // The route went with the address.
        self.inside.ip(&["route", "replace", "default", "dev", "eth0"]);
    }

    /// A second interface, `eth1` with `10.78.0.<number>`, on the far switch.
    pub fn add_second_interface(&self) {
        let port = format!("{}b", self.port);
        self.switch_ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth1", "netns", self.inside.name()]);
        self.switch_ip(&["link", "set", &port, "master", FAR_BRIDGE, "up"]);
        self.inside.ip(&["addr", "add", &format!("10.78.0.{}/24", self.number), "dev", "eth1"]);
        self.inside.ip(&["link", "set", "eth1", "up"]);
    }

    /// Packets sent and received on `eth0` so far.
    ///
    /// # Panics
    /// When the counters cannot be read.
    #[must_use]
    pub fn packets(&self) -> (u64, u64) {
        let read = |what| -> u64 {
            self.inside.shell(&format!("cat /sys/class/net/eth0/statistics/{what}_packets")).trim().parse().unwrap()
        };
        (read("tx"), read("rx"))
    }

    /// Bytes sent and received on `eth0` so far.
    ///
    /// # Panics
    /// When the counters cannot be read.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let read = |what| -> u64 {
            self.inside.shell(&format!("cat /sys/class/net/eth0/statistics/{what}_bytes")).trim().parse().unwrap()
        };
        (read("tx"), read("rx"))
    }

    fn switch_ip(&self, args: &[&str]) {
        let mut all = vec!["-n", self.switch.as_str()];
        all.extend(args);
        let out =
            crate::child::run(std::process::Command::new("ip").args(&all), b"", std::time::Duration::from_secs(20));
        assert!(out.status.success(), "ip {}: {}", all.join(" "), String::from_utf8_lossy(&out.stderr));
    }

    fn switch_tc(&self, args: &[String]) -> bool {
        let mut command = std::process::Command::new("tc");
        command.args(["-n", &self.switch]).args(args);
        crate::child::run(&mut command, b"", std::time::Duration::from_secs(20)).status.success()
    }
}

fn as_strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
