//! The three services, and what the original system did of each.

/// A path of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `/blockchain`.
    Blockchain,
    /// `/qrcode`.
    Qrcode,
    /// `/twitter`.
    Twitter,
}

impl Service {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Qrcode, Self::Blockchain, Self::Twitter];

    /// Its name, which is that of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blockchain => "blockchain",
            Self::Qrcode => "qrcode",
            Self::Twitter => "twitter",
        }
    }
}

impl std::str::FromStr for Service {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|service| service.name() == text)
            .ok_or("blockchain, qrcode or twitter")
    }
}

/// What a system of this kind did in the original live test of one service, with 14 vCPUs in
/// seven nodes (and a database of four for `/twitter`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Original {
    /// Requests a second.
    pub rate: f64,
    /// Mean latency.
    pub latency_ms: f64,
    /// Its share of the requests when all were tested at once, against those of the others.
    pub weight: u64,
}

/// The figures of the original live test of a service.
pub const fn original(service: Service) -> Original {
    let (rate, latency_ms, weight) = match service {
        Service::Blockchain => (46_906.0, 18.0, 100),
        Service::Qrcode => (99_059.0, 6.4, 112),
        Service::Twitter => (5_119.0, 80.3, 18),
    };
    Original {
        rate,
        latency_ms,
        weight,
    }
}
