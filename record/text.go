package record

import (
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text that a partner wrote reaches terminals, logs and pages. What could
// move a cursor, hide or reorder other text is refused where a record is read,
// and replaced where something is printed all the same.

// unprintable tells whether a rune may do more than show itself: controls and
// escapes (Cc), format characters such as bidi overrides and zero-width
// characters (Cf), line and paragraph separators, surrogates and private use.
func unprintable(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}

// Printable makes text from outside safe to show: each character that is not
// plainly visible becomes U+FFFD, and what goes beyond limit characters is cut
// and marked with "…".
func Printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == limit {
			b.WriteString("…")
			break
		}
		if unprintable(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// Limits of text in records, in bytes of UTF-8.
const (
	MaxName      = 255 // a file's name
	MaxOrgName   = 128
	MaxMediaType = 128
	MaxReason    = 1024
)

// CheckText tells whether s is from 1 to limit bytes of printable UTF-8.
func CheckText(what, s string, limit int) error {
	switch {
	case s == "":
		return Errorf(Invalid, "%s is empty", what)
	case len(s) > limit:
		return Errorf(Invalid, "%s is %d bytes long, %d are allowed", what, len(s), limit)
	case !utf8.ValidString(s):
		return Errorf(Invalid, "%s is not valid UTF-8", what)
	case strings.ContainsFunc(s, unprintable):
		return Errorf(Invalid, "%s holds a character that cannot be shown: %q", what, Printable(s, 80))
	}
	return nil
}

// CheckName tells whether s can be the name of a document: printable text that
// names a file and nothing else on every common system.
func CheckName(s string) error {
	if err := CheckText("the document's name", s, MaxName); err != nil {
		return err
	}
	if s == "." || s == ".." || strings.ContainsAny(s, `/\`) || filepath.Base(s) != s {
		return Errorf(Invalid, "the document's name is a path: %q", s)
	}
	return nil
}

// CheckMediaType tells whether s has the form type/subtype (RFC 6838, section
// 4.2), with parameters that hold only visible ASCII.
func CheckMediaType(s string) error {
	if err := CheckText("the media type", s, MaxMediaType); err != nil {
		return err
	}
	kind, rest, ok := strings.Cut(s, "/")
	if !ok || kind == "" || rest == "" || strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		return Errorf(Invalid, "not a media type: %q", s)
	}
	return nil
}
