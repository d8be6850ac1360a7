//! The kinds of personal data that are found.

use std::collections::BTreeSet;

use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;

/// A kind of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Email,
    Phone,
    Card,
    Iban,
    Ipv4,
    Ipv6,
    Mac,
    Handle,
    OrderNumber,
    CnId,
    HkId,
    TwId,
    SgId,
    UsSsn,
    GbNino,
    DeTaxId,
    FrNir,
    EsId,
    ItFiscalCode,
    NlBsn,
    BeId,
    ChAhv,
    PlPesel,
    SeId,
    FiId,
    BrCpf,
}

impl Kind {
    /// All kinds, those of national ids at the end.
    pub(super) const ALL: [Self; 26] = [
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::Ipv4,
        Self::Ipv6,
        Self::Mac,
        Self::Handle,
        Self::OrderNumber,
        Self::CnId,
        Self::HkId,
        Self::TwId,
        Self::SgId,
        Self::UsSsn,
        Self::GbNino,
        Self::DeTaxId,
        Self::FrNir,
        Self::EsId,
        Self::ItFiscalCode,
        Self::NlBsn,
        Self::BeId,
        Self::ChAhv,
        Self::PlPesel,
        Self::SeId,
        Self::FiId,
        Self::BrCpf,
    ];

    /// Its name in SQL.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mac => "mac",
            Self::Handle => "handle",
            Self::OrderNumber => "order_number",
            Self::CnId => "cn_id",
            Self::HkId => "hk_id",
            Self::TwId => "tw_id",
            Self::SgId => "sg_id",
            Self::UsSsn => "us_ssn",
            Self::GbNino => "gb_nino",
            Self::DeTaxId => "de_tax_id",
            Self::FrNir => "fr_nir",
            Self::EsId => "es_id",
            Self::ItFiscalCode => "it_fiscal_code",
            Self::NlBsn => "nl_bsn",
            Self::BeId => "be_id",
            Self::ChAhv => "ch_ahv",
            Self::PlPesel => "pl_pesel",
            Self::SeId => "se_id",
            Self::FiId => "fi_id",
            Self::BrCpf => "br_cpf",
        }
    }

    fn is_national_id(self) -> bool {
        self >= Self::CnId
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kinds(u32);

impl Kinds {
    pub(super) const NONE: Self = Self(0);

    /// Every kind.
    pub(super) fn all() -> Self {
        Kind::ALL.into_iter().collect()
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Returns true if one of the kinds is a national id.
    pub(super) fn has_national_id(self) -> bool {
        Kind::ALL.into_iter().any(|kind| kind.is_national_id() && self.has(kind))
    }

    pub(super) fn insert(&mut self, kind: Kind) {
        self.0 |= kind.bit();
    }

    /// Adds what a name stands for: a kind, or the groups `national_id` and `ip`.
    ///
    /// # Errors
    /// With the names, and the nearest one, when there is no such kind.
    pub(super) fn insert_named(&mut self, name: &str) -> Result<(), String> {
        let name = name.trim().to_ascii_lowercase();
        let members: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| match name.as_str() {
                "national_id" => kind.is_national_id(),
                "ip" => matches!(kind, Kind::Ipv4 | Kind::Ipv6),
                name => kind.name() == name,
            })
            .collect();
        if members.is_empty() {
            let names: BTreeSet<&str> = Kind::ALL.map(Kind::name).into_iter().chain(["ip", "national_id"]).collect();
            let near = names.iter().map(|known| (normalized_levenshtein(known, &name), known));
            let near = near.filter(|(similarity, _)| *similarity >= 0.5).max_by(|(a, _), (b, _)| a.total_cmp(b));
            let hint = near.map(|(_, known)| format!("; did you mean '{known}'?")).unwrap_or_default();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(format!("kinds must be among {names}, got '{name}'{hint}"));
        }
        self.0 |= members.into_iter().collect::<Self>().0;
        Ok(())
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, |mut all, kind| {
            all.insert(kind);
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_found_again() {
        let names: BTreeSet<&str> = Kind::ALL.map(Kind::name).into_iter().collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let mut kinds = Kinds::NONE;
            kinds.insert_named(&kind.name().to_uppercase()).unwrap();
            assert!(Kind::ALL.into_iter().all(|other| kinds.has(other) == (other == kind)), "{}", kind.name());
        }
    }

    #[test]
    fn groups_stand_for_their_members() {
        let mut kinds = Kinds::NONE;
        kinds.insert_named("national_id").unwrap();
        assert!(kinds.has(Kind::CnId) && kinds.has(Kind::BrCpf) && !kinds.has(Kind::Iban) && kinds.has_national_id());
        let mut kinds = Kinds::NONE;
        kinds.insert_named(" ip ").unwrap();
        assert_eq!(kinds, [Kind::Ipv4, Kind::Ipv6].into_iter().collect());
    }

    #[test]
    fn an_unknown_name_has_the_nearest_one() {
        let mut kinds = Kinds::NONE;
        let error = kinds.insert_named("emial").unwrap_err();
        assert!(error.ends_with("got 'emial'; did you mean 'email'?"), "{error}");
    }
}
