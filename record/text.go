package record

import (
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text that a partner wrote reaches terminals, logs and pages. What could
// move a cursor, hide or reorder other text is refused where a record is read,
// and replaced where something is printed all the same.

// unprintables are the characters that may do more than show themselves:
// controls and escapes (Cc), format characters such as bidi overrides and
// zero-width characters (Cf), line and paragraph separators (Zl, Zp), private
// use (Co), noncharacters, and what is set aside for more of them.
//
// The table is written out, and not taken from package unicode, because what
// is a valid record must not depend on the Unicode version that some build of
// some implementation knows.
var unprintables = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0000, 0x001f, 1}, {0x007f, 0x009f, 1}, {0x00ad, 0x00ad, 1}, {0x0600, 0x0605, 1}, {0x061c, 0x061c, 1},
		{0x06dd, 0x06dd, 1}, {0x070f, 0x070f, 1}, {0x0890, 0x0891, 1}, {0x08e2, 0x08e2, 1}, {0x180e, 0x180e, 1},
		{0x200b, 0x200f, 1}, {0x2028, 0x202e, 1}, {0x2060, 0x206f, 1}, {0xd800, 0xf8ff, 1}, {0xfdd0, 0xfdef, 1},
		{0xfeff, 0xfeff, 1}, {0xfff0, 0xfffb, 1}, {0xfffd, 0xffff, 1},
	},
	R32: []unicode.Range32{
		{0x110bd, 0x110bd, 1}, {0x110cd, 0x110cd, 1}, {0x13430, 0x1343f, 1}, {0x1bca0, 0x1bca3, 1}, {0x1d173, 0x1d17a, 1},
		{0xe0000, 0xe00ff, 1}, {0xe01f0, 0xe0fff, 1}, {0xf0000, 0x10ffff, 1},
	},
	LatinOffset: 3,
}

// unprintable tells whether a rune may do more than show itself. The last two
// code points of each plane are no characters.
func unprintable(r rune) bool { return r&0xfffe == 0xfffe || unicode.Is(unprintables, r) }

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
	if s == "." || s == ".." || strings.ContainsAny(s, `/\`) {
		return Errorf(Invalid, "the document's name is a path: %q", s)
	}
	return nil
}

// CheckMediaType tells whether s has the form type/subtype, with or without
// parameters, of visible ASCII (RFC 9110, section 8.3.1).
func CheckMediaType(s string) error {
	if err := CheckText("the media type", s, MaxMediaType); err != nil {
		return err
	}
	kind, _, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(kind, "/") || strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		return Errorf(Invalid, "not a media type: %q", s)
	}
	return nil
}
