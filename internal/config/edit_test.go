package config

import (
	"strings"
	"testing"

	"dxd/record"
)

func TestEditKeepsWhatItsOwnerWrote(t *testing.T) {
	for _, tt := range []struct {
		name, before, key string
		values            []string
		after             string
	}{
		{"own line is replaced, with its comment", "# a\n[anchor]\n  chain_id = 1  # main \"net\"\nmax_fee = 2\n", "anchor.chain_id", []string{"5"},
			"# a\n[anchor]\nchain_id = 5  # main \"net\"\nmax_fee = 2\n"},
		{"a # in a string is no comment", "api = \"unix:/a#b\" # c\n", "api", []string{"h:1"}, "api = \"h:1\" # c\n"},
		{"line behind a comment sign is the place", "# about\n# listen = [\"/a\"]\n[log]\n", "listen", []string{"/b", "/c"},
			"# about\nlisten = [\"/b\", \"/c\"]\n[log]\n"},
		{"key goes into its table", "[anchor]\nmax_fee = 2\n[log]\n", "anchor.chain_id", []string{"5"},
			"[anchor]\nchain_id = 5\nmax_fee = 2\n[log]\n"},
		{"key of the same name in another table is left", "[log]\n# contract = 1\n[ anchor ] # here\n", "anchor.contract", []string{"0x00000000000000000000000000000000000000aa"},
			"[log]\n# contract = 1\n[ anchor ] # here\ncontract = \"0x00000000000000000000000000000000000000aa\"\n"},
		{"missing table comes at the end", "api = \"h:1\"\n", "anchor.chain_id", []string{"5"},
			"api = \"h:1\"\n\n[anchor]\nchain_id = 5\n"},
		{"empty file", "", "log.level", []string{"debug"}, "\n[log]\nlevel = \"debug\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Edit([]byte(tt.before), tt.key, tt.values...)
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(string(got)) != strings.TrimSpace(tt.after) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.after)
			}
		})
	}
}

func TestEditRefusesWhatItCannotDoCleanly(t *testing.T) {
	for name, before := range map[string]string{
		"value over several lines":       "[anchor]\nrpc = [\n  \"http://a\",\n]\n",
		"inline table":                   "anchor = { rpc = [\"http://a\"] }\n",
		"dotted key":                     "anchor.rpc = [\"http://a\"]\n",
		"table's header within a string": "api = \"\"\"unix:a\n[anchor]\n\"\"\"\n",
		"file that is no TOML":           "[anchor\n",
	} {
		got, err := Edit([]byte(before), "anchor.rpc", "http://b")
		if err == nil {
			t.Errorf("%s: gave\n%s", name, got)
		}
	}
	_, err := Edit([]byte("anchor.rpc = []\n"), "anchor.rpc", "http://b")
	if !strings.Contains(record.Hint(err), `anchor.rpc = ["http://b"]`) {
		t.Errorf("hint %q", record.Hint(err))
	}
	if _, err := Edit(nil, "anchor.chain_id", "x"); err == nil {
		t.Error("set a value that is not one")
	}
	if _, err := Edit(nil, "anchor.chain", "1"); err == nil {
		t.Error("set a key that is not one")
	}
}

func TestTemplateTakesEveryEdit(t *testing.T) {
	content := []byte(Template)
	for _, e := range [][]string{
		{"anchor.chain_id", "7"}, {"anchor.contract", "0x00000000000000000000000000000000000000aa"}, {"anchor.rpc", "http://a/k", "http://b"},
		{"listen", "/ip4/127.0.0.1/tcp/1"}, {"api", "127.0.0.1:1"}, {"anchor.finality", "2"}, {"anchor.max_fee", "0.5"},
	} {
		var err error
		if content, err = Edit(content, e[0], e[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	if c.Anchor.ChainID != 7 || len(c.Anchor.RPC) != 2 || c.API.TCP != "127.0.0.1:1" || c.Anchor.MaxFee != OneGwei/2 {
		t.Errorf("got %+v", c)
	}
	if before, after := strings.Count(Template, "\n"), strings.Count(string(content), "\n"); before != after {
		t.Errorf("%d lines became %d", before, after)
	}
}

func FuzzEdit(f *testing.F) {
	f.Add(Template, "5")
	f.Add("[anchor]\nchain_id = 1 # x\n", "6")
	f.Add("anchor.chain_id = 1", "7")
	f.Fuzz(func(t *testing.T, content, value string) {
		got, err := Edit([]byte(content), "anchor.chain_id", value)
		if err != nil {
			if got != nil {
				t.Fatal("an edit that failed gave a file")
			}
			return
		}
		c := Default()
		if err := c.Set("anchor.chain_id", value); err != nil {
			t.Fatal(err)
		}
		values, err := decode(got)
		if err != nil || values["anchor.chain_id"][0] != value {
			t.Fatalf("reads again as %v, %v", values, err)
		}
	})
}
