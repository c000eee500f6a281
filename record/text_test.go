package record_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"dxd/record"
)

// badNames are not to be found in any record.
var badNames = []struct{ name, why, text string }{
	{"empty", "is empty", ""},
	{"the directory above", "is a path", ".."},
	{"the directory itself", "is a path", "."},
	{"a path upwards", "is a path", "../etc/passwd"},
	{"an absolute path", "is a path", "/etc/passwd"},
	{"a path downwards", "is a path", "a/b"},
	{"a slash at the end", "is a path", "a/"},
	{"a path on Windows", "is a path", `..\a`},
	{"NUL", "cannot be shown", "a\x00.pdf"},
	{"a line feed", "cannot be shown", "a\nb"},
	{"a carriage return", "cannot be shown", "a\rb"},
	{"a tab", "cannot be shown", "a\tb"},
	{"a backspace", "cannot be shown", "a\bb"},
	{"DEL", "cannot be shown", "a\x7fb"},
	{"an escape sequence", "cannot be shown", "\x1b[2Jgone"},
	{"a C1 control, which some terminals take for an escape", "cannot be shown", "\u009b2Jgone"},
	{"a line separator", "cannot be shown", "a\u2028b"},
	{"a paragraph separator", "cannot be shown", "a\u2029b"},
	{"a right-to-left override", "cannot be shown", "invoice\u202efdp.exe"},
	{"a right-to-left isolate", "cannot be shown", "invoice\u2067fdp.exe"},
	{"a right-to-left mark", "cannot be shown", "a\u200fb"},
	{"an Arabic letter mark", "cannot be shown", "a\u061cb"},
	{"a zero-width space", "cannot be shown", "a\u200bb"},
	{"a soft hyphen", "cannot be shown", "a\u00adb"},
	{"a byte order mark", "cannot be shown", "\ufeffa"},
	{"a tag character", "cannot be shown", "a\U000e0041"},
	{"a private use character", "cannot be shown", "a\ue000"},
	{"a noncharacter", "cannot be shown", "a\U0001ffff"},
	{"a replacement character", "cannot be shown", "a\ufffd"},
	{"invalid UTF-8", "not valid UTF-8", "a\xff"},
	{"an overlong slash", "not valid UTF-8", "a\xc0\xafb"},
	{"a surrogate", "not valid UTF-8", "a\xed\xa0\x80"},
	{"300 characters", "300 bytes long", strings.Repeat("n", 300)},
	{"256 bytes of two-byte characters", "256 bytes long", strings.Repeat("ä", 128)},
}

func TestNameThatIsNoNameIsRefused(t *testing.T) {
	var cases []refusal
	for _, n := range badNames {
		cases = append(cases, refusal{n.name, n.why, []byte(n.text)})
	}
	refuse(t, "name-refused.json", cases, func(input []byte) error { return record.CheckName(string(input)) })
}

func TestNameThatPeopleUseIsAccepted(t *testing.T) {
	for _, s := range []string{
		"a", "...", "..a", "a..", ".profile", "-rf", "Angebot Nr. 7 (final).pdf", "50% off: yes?.txt", "見積書.pdf", "طلب.pdf", "résumé.doc",
		"re\u0301sume\u0301.doc", "🙂.png", "❤️.png", "葛\U000e0100城.txt", "Screenshot 1.00.00\u202fPM.png", "全角\u3000空白.txt", strings.Repeat("n", 255), "CON", "$(reboot)", "a\u0378b",
	} {
		if err := record.CheckName(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if got := record.Printable(s, 1000); got != s {
			t.Errorf("%q is printed as %q", s, got)
		}
	}
}

func TestPrintableTextHoldsNothingThatActs(t *testing.T) {
	for _, n := range badNames {
		got := record.Printable(n.text, 1000)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
			return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
		}) {
			t.Errorf("%s is printed as %q", n.name, got)
		}
	}
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"a\x1b[31mb", 10, "a\ufffd[31mb"},
		{"abcdef", 3, "abc…"},
		{"abc", 3, "abc"},
		{"äöü", 2, "äö…"},
		{"\xff\xfe", 5, "\ufffd\ufffd"},
		{"", 5, ""},
		{"abc", 0, "…"},
	} {
		if got := record.Printable(c.text, c.limit); got != c.want {
			t.Errorf("Printable(%q, %d) = %q, not %q", c.text, c.limit, got, c.want)
		}
	}
}

// The table is written out so that it never changes. It must hold what every
// Unicode version so far calls a control or a format character.
func TestTableOfUnprintablesHoldsThoseOfUnicode(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		bad := unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
		refused := record.CheckText("it", string(r), 4) != nil
		if bad && !refused {
			t.Errorf("%U is accepted", r)
		}
		if refused && !bad && unicode.IsPrint(r) && r != utf8.RuneError {
			t.Errorf("%U is refused", r)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	for _, s := range []string{"text/plain", "application/pdf", "text/plain; charset=utf-8", "application/vnd.dxd.card.v1+json", `text/plain; a="b c"`} {
		if err := record.CheckMediaType(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "text", "text/", "/plain", "text plain/x", "text/plain\r\nX: y", "text/plän", "text/plain; charset", "text/a b", "a/b/c", strings.Repeat("a", 64) + "/" + strings.Repeat("b", 64)} {
		if err := record.CheckMediaType(s); record.KindOf(err) != record.Invalid {
			t.Errorf("%q: the error is %v", s, err)
		}
	}
}
