//! The closed set of kinds of what can be wrong with a field.
//!
//! A kind travels as the `reason` of a `google.rpc.BadRequest.FieldViolation`; the gateway's answers have it in lower case as
//! the `type` of an item, as pydantic has.

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is wrong with a field.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// The name that goes over the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)*
                }
            }

            /// The kind with this name. A later version may know others: they are [`Kind::ValueError`] here.
            #[must_use]
            pub fn parse(name: &str) -> Kind {
                match name {
                    $($name => Kind::$variant,)*
                    _ => Kind::ValueError,
                }
            }
        }
    };
}

kinds! {
    /// It breaks a rule that has no kind of its own.
    ValueError = "VALUE_ERROR",
    /// It is required and not there.
    Missing = "MISSING",
    /// It is there and may not be.
    ExtraForbidden = "EXTRA_FORBIDDEN",
    /// It is not a string.
    StringType = "STRING_TYPE",
    /// It is not an integer.
    IntType = "INT_TYPE",
    /// It is not a number.
    FloatType = "FLOAT_TYPE",
    /// It is neither true nor false.
    BoolType = "BOOL_TYPE",
    /// It is not a list.
    ListType = "LIST_TYPE",
    /// It is not an object.
    DictType = "DICT_TYPE",
    /// It is not null.
    NoneRequired = "NONE_REQUIRED",
    /// The string has too few characters.
    StringTooShort = "STRING_TOO_SHORT",
    /// The string has too many characters.
    StringTooLong = "STRING_TOO_LONG",
    /// The string does not match a pattern.
    StringPatternMismatch = "STRING_PATTERN_MISMATCH",
    /// The number must be greater.
    GreaterThan = "GREATER_THAN",
    /// The number must be greater, or equal to the limit.
    GreaterThanEqual = "GREATER_THAN_EQUAL",
    /// The number must be less.
    LessThan = "LESS_THAN",
    /// The number must be less, or equal to the limit.
    LessThanEqual = "LESS_THAN_EQUAL",
    /// The number is not a multiple of another.
    MultipleOf = "MULTIPLE_OF",
    /// The list or object has too few members.
    TooShort = "TOO_SHORT",
    /// The list or object has too many members.
    TooLong = "TOO_LONG",
    /// It is not one of the values that there are.
    Enum = "ENUM",
    /// It is not the one value that there is.
    LiteralError = "LITERAL_ERROR",
    /// The string is not a date.
    DateParsing = "DATE_PARSING",
    /// The string is not a moment.
    DatetimeParsing = "DATETIME_PARSING",
    /// The string is not a URL.
    UrlParsing = "URL_PARSING",
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn every_kind_is_read_back_from_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), *kind);
        }
        assert_eq!(Kind::parse("SOMETHING_ELSE"), Kind::ValueError);
    }
}
