package partner

import (
	"fmt"
	"strings"
)

// ProposeAlias makes an alias, which no partner has by now, from what an
// organisation calls itself.
func (b *Book) ProposeAlias(name string) string {
	base := slug(name)
	alias := base
	for n := 2; ; n++ {
		if _, err := b.ByAlias(alias); err != nil {
			return alias
		}
		alias = fmt.Sprintf("%s-%d", base, n)
	}
}

// maxSlug leaves room for a number in an alias.
const maxSlug = 40

// slug keeps the letters and digits of ASCII, in lower case and with one dash
// for whatever stands between them.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	s := strings.Join(words, "-")
	s = strings.TrimRight(s[:min(len(s), maxSlug)], "-")
	if s == "" {
		return "partner"
	}
	return s
}
