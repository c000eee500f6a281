package partner_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheExampleOfTheSpecificationIsTaken(t *testing.T) {
	h := newHome(t)
	h.now = time.UnixMilli(1790000000000)
	data, err := os.ReadFile("../docs/spec/testdata/card-file.json")
	check(t, err)
	p := h.has(data, "acme")
	spec, err := os.ReadFile("../docs/spec/partner.md")
	check(t, err)
	node := p.Card.Body.Nodes[0]
	for _, row := range []string{
		fmt.Sprintf("| organisation | `%s` |", p.Org),
		fmt.Sprintf("| fingerprint | `%s` |", p.Org.Fingerprint()),
		fmt.Sprintf("| card | `%s`, serial %d |", p.Card.ID(), p.Card.Body.Serial),
		fmt.Sprintf("| node | `%s` |", node),
		fmt.Sprintf("| at | `%s` |", strings.Join(p.Addresses(node), "`, `")),
	} {
		if !strings.Contains(string(spec), row) {
			t.Errorf("the specification does not show %s", row)
		}
	}
}
