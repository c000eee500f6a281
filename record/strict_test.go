package record_test

import (
	"testing"

	"dxd/record"
)

// sample has one member of each sort that a format may hold.
type sample struct {
	Text  string        `json:"text"`
	Count int64         `json:"count"`
	List  []string      `json:"list"`
	Flag  bool          `json:"flag"`
	Maybe record.Digest `json:"maybe,omitzero"`
}

func TestUnmarshalTakesTheOneForm(t *testing.T) {
	for _, s := range []string{
		`{"text":"","count":0,"list":[],"flag":false}`,
		`{"text":"ä <&> \u0000 \" \\ / \n 🙂","count":-9007199254740992,"list":["",""],"flag":true}`,
	} {
		var v sample
		if err := record.Unmarshal([]byte(s), &v); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestUnmarshalRefusesEveryOtherForm(t *testing.T) {
	for name, s := range map[string]string{
		"empty":                         ``,
		"null":                          `null`,
		"a list":                        `[]`,
		"white space":                   `{"text":"", "count":0,"list":[],"flag":false}`,
		"a line break behind it":        "{\"text\":\"\",\"count\":0,\"list\":[],\"flag\":false}\n",
		"a second value":                `{"text":"","count":0,"list":[],"flag":false}{}`,
		"a missing member":              `{"text":"","count":0,"list":[]}`,
		"an unknown member":             `{"text":"","count":0,"list":[],"flag":false,"x":1}`,
		"a member twice":                `{"text":"","count":0,"list":[],"flag":false,"flag":false}`,
		"a member in another case":      `{"Text":"","count":0,"list":[],"flag":false}`,
		"members in another order":      `{"count":0,"text":"","list":[],"flag":false}`,
		"null for a string":             `{"text":null,"count":0,"list":[],"flag":false}`,
		"null for a number":             `{"text":"","count":null,"list":[],"flag":false}`,
		"null for a list":               `{"text":"","count":0,"list":null,"flag":false}`,
		"null in a list":                `{"text":"","count":0,"list":[null],"flag":false}`,
		"null for an absent member":     `{"text":"","count":0,"list":[],"flag":false,"maybe":null}`,
		"a number as a string":          `{"text":"","count":"0","list":[],"flag":false}`,
		"a fraction":                    `{"text":"","count":0.0,"list":[],"flag":false}`,
		"an exponent":                   `{"text":"","count":1e1,"list":[],"flag":false}`,
		"a plus sign":                   `{"text":"","count":+1,"list":[],"flag":false}`,
		"leading zeros":                 `{"text":"","count":01,"list":[],"flag":false}`,
		"minus zero":                    `{"text":"","count":-0,"list":[],"flag":false}`,
		"more than 63 bits":             `{"text":"","count":9223372036854775808,"list":[],"flag":false}`,
		"an escape that is not needed":  `{"text":"\u0061","count":0,"list":[],"flag":false}`,
		"an escape in capitals":         `{"text":"\u001F","count":0,"list":[],"flag":false}`,
		"an escape that has a shorter":  `{"text":"\u000a","count":0,"list":[],"flag":false}`,
		"an escape in a name":           `{"t\u0065xt":"","count":0,"list":[],"flag":false}`,
		"a pair of escaped surrogates":  `{"text":"\ud83d\ude42","count":0,"list":[],"flag":false}`,
		"a lone surrogate":              `{"text":"\ud83d","count":0,"list":[],"flag":false}`,
		"invalid UTF-8":                 "{\"text\":\"\xff\",\"count\":0,\"list\":[],\"flag\":false}",
		"a control that is not escaped": "{\"text\":\"\x01\",\"count\":0,\"list\":[],\"flag\":false}",
		"a comment":                     `{"text":"","count":0,"list":[],"flag":false}//`,
		"a comma too many":              `{"text":"","count":0,"list":[],"flag":false,}`,
		"single quotes":                 `{'text':"","count":0,"list":[],"flag":false}`,
	} {
		t.Run(name, func(t *testing.T) {
			v := sample{Text: "as it was"}
			if err := record.Unmarshal([]byte(s), &v); record.KindOf(err) != record.Invalid {
				t.Errorf("the error is %v", err)
			}
			if v.Text != "as it was" || v.Count != 0 || v.List != nil || v.Flag {
				t.Errorf("beside the error, %+v is returned", v)
			}
		})
	}
}

func TestMarshalRefusesTextThatIsNotUTF8(t *testing.T) {
	if b, err := record.Marshal(sample{Text: "\xff"}); err == nil {
		t.Errorf("it gives %q", b)
	}
}
