//! The classes of data that detectors tell apart.

use std::fmt;

/// One row a class: variant, name in rules, tag in texts. The order decides between two findings that
/// are otherwise equal: what is more specific stands first.
macro_rules! classes {
    ($($class:ident $name:literal $tag:literal,)*) => {
        /// What a finding is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Class { $($class,)* }

        impl Class {
            pub const ALL: &'static [Self] = &[$(Self::$class,)*];

            /// As it is written in rules.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$class => $name,)* }
            }

            /// What stands in a text instead of the value: `[EMAIL]`.
            #[must_use]
            pub const fn tag(self) -> &'static str {
                match self { $(Self::$class => $tag,)* }
            }
        }
    };
}

classes! {
    // What has the form of a stand-in, but is none.
    StandIn "stand-in" "TEXT",
    PrivateKey "private-key" "PRIVATE_KEY",
    ApiKey "api-key" "API_KEY",
    Jwt "jwt" "JWT",
    Secret "secret" "SECRET",
    Name "name" "PERSON",
    Email "email" "EMAIL",
    Iban "iban" "IBAN",
    Card "card" "CARD",
    Crypto "crypto-address" "CRYPTO_ADDRESS",
    Url "url" "URL",
    Mac "mac" "MAC",
    Ip "ip" "IP",
    UsSsn "us-ssn" "US_SSN",
    UsItin "us-itin" "US_ITIN",
    UsNpi "us-npi" "US_NPI",
    UsMbi "us-mbi" "US_MBI",
    UsDea "us-dea" "US_DEA",
    UsRouting "us-routing" "US_ROUTING",
    UsPassport "us-passport" "US_PASSPORT",
    UsBank "us-bank-account" "US_BANK_ACCOUNT",
    UsLicence "us-driving-licence" "US_DRIVING_LICENCE",
    CaSin "ca-sin" "CA_SIN",
    UkNhs "uk-nhs" "UK_NHS",
    UkNino "uk-nino" "UK_NINO",
    UkLicence "uk-driving-licence" "UK_DRIVING_LICENCE",
    UkPassport "uk-passport" "UK_PASSPORT",
    UkPlate "uk-plate" "UK_PLATE",
    UkPostcode "uk-postcode" "UK_POSTCODE",
    DeSocial "de-social-security" "DE_SOCIAL_SECURITY",
    DeTaxId "de-tax-id" "DE_TAX_ID",
    DeTaxNumber "de-tax-number" "DE_TAX_NUMBER",
    DeVat "de-vat" "DE_VAT",
    DePassport "de-passport" "DE_PASSPORT",
    DeIdCard "de-id-card" "DE_ID_CARD",
    DeHealth "de-health-insurance" "DE_HEALTH_INSURANCE",
    DeDoctor "de-doctor" "DE_DOCTOR",
    DePractice "de-practice" "DE_PRACTICE",
    DeLicence "de-driving-licence" "DE_DRIVING_LICENCE",
    DeRegister "de-register" "DE_REGISTER",
    DePostcode "de-postcode" "DE_POSTCODE",
    FrNir "fr-nir" "FR_NIR",
    EsNif "es-nif" "ES_NIF",
    EsNie "es-nie" "ES_NIE",
    EsPassport "es-passport" "ES_PASSPORT",
    ItFiscal "it-fiscal-code" "IT_FISCAL_CODE",
    ItVat "it-vat" "IT_VAT",
    ItLicence "it-driving-licence" "IT_DRIVING_LICENCE",
    ItIdCard "it-id-card" "IT_ID_CARD",
    PlPesel "pl-pesel" "PL_PESEL",
    FiHetu "fi-hetu" "FI_HETU",
    SePerson "se-personnummer" "SE_PERSONNUMMER",
    SeOrganisation "se-organisation" "SE_ORGANISATION",
    TrId "tr-id" "TR_ID",
    TrPlate "tr-plate" "TR_PLATE",
    InAadhaar "in-aadhaar" "IN_AADHAAR",
    InPan "in-pan" "IN_PAN",
    InGstin "in-gstin" "IN_GSTIN",
    InPassport "in-passport" "IN_PASSPORT",
    InVoter "in-voter" "IN_VOTER",
    InPlate "in-plate" "IN_PLATE",
    KrRrn "kr-rrn" "KR_RRN",
    KrFrn "kr-frn" "KR_FRN",
    KrBusiness "kr-business" "KR_BUSINESS",
    KrLicence "kr-driving-licence" "KR_DRIVING_LICENCE",
    KrPassport "kr-passport" "KR_PASSPORT",
    SgNric "sg-nric" "SG_NRIC",
    SgUen "sg-uen" "SG_UEN",
    ThId "th-id" "TH_ID",
    ZaId "za-id" "ZA_ID",
    NgNin "ng-nin" "NG_NIN",
    NgPlate "ng-plate" "NG_PLATE",
    AuAbn "au-abn" "AU_ABN",
    AuAcn "au-acn" "AU_ACN",
    AuTfn "au-tfn" "AU_TFN",
    AuMedicare "au-medicare" "AU_MEDICARE",
    Phone "phone" "PHONE",
    PhPhone "ph-phone" "PH_PHONE",
    TrPhone "tr-phone" "TR_PHONE",
    Date "date" "DATE",
}

impl Class {
    /// The class of a name in rules.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: give two classes one name, one tag, or a tag in lower case.
    #[test]
    fn names_and_tags_are_distinct() {
        let mut names: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
        let mut tags: Vec<&str> = Class::ALL.iter().map(|class| class.tag()).collect();
        for list in [&mut names, &mut tags] {
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), Class::ALL.len());
        }
        assert!(tags.iter().all(|tag| tag.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
        assert!(Class::ALL.iter().all(|class| Class::parse(class.name()) == Some(*class)));
    }
}
