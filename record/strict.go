package record

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
)

// MaxInteger is the largest integer that every JSON reader keeps exactly
// (RFC 8259, section 6).
const MaxInteger = 1<<53 - 1

func itoa(n int) string { return strconv.Itoa(n) }

// Marshal encodes v in the one form that Unmarshal takes: members in the order
// of the struct, no white space, only the escapes that JSON demands.
func Marshal(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true))
}

// Unmarshal is strict: exact case, no duplicate, unknown or missing names,
// valid UTF-8, and the very bytes that Marshal writes for the value. So
// parsing and encoding again always gives the same bytes. On an error *v is
// left as it was.
func Unmarshal[T any](data []byte, v *T) error {
	var parsed T
	if err := json.Unmarshal(data, &parsed, json.RejectUnknownMembers(true)); err != nil {
		return Errorf(Invalid, "not valid strict JSON: %s", Printable(err.Error(), 200))
	}
	again, err := Marshal(parsed)
	if err != nil {
		return Errorf(Invalid, "not valid strict JSON: %s", Printable(err.Error(), 200))
	}
	if !bytes.Equal(again, data) {
		return Errorf(Invalid, "not in the one form of its JSON (order, white space, escapes or missing members)")
	}
	*v = parsed
	return nil
}

// Load decodes what this program wrote itself and has kept under its own seal,
// of which nobody asks that it is in the one form that Unmarshal takes. On an
// error *v is left as it was.
func Load[T any](data []byte, v *T) error {
	var parsed T
	if err := json.Unmarshal(data, &parsed, json.RejectUnknownMembers(true)); err != nil {
		return Errorf(Invalid, "not valid JSON of ours: %s", Printable(err.Error(), 200))
	}
	*v = parsed
	return nil
}

// checkInteger refuses what is not from least to 2^53-1.
func checkInteger(what string, n, least int64) error {
	if n < least || n > MaxInteger {
		return Errorf(Invalid, "%s is %d, not between %d and 2^53-1", what, n, least)
	}
	return nil
}
