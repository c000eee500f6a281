package record

// Unverified reads what a record says and looks at no signature. It is for
// showing what a stranger's file claims, and for nothing that acts on it.
func Unverified[T Body](e Envelope) (T, error) { return decode[T](e) }
