package party

import (
	"strings"

	"dxd/client"
	"dxd/record"
)

// Alarms lists what people were told of.
func (o *Org) Alarms() (texts []string) {
	o.T.Helper()
	all, err := o.Events(o.T.Context(), client.EventFilter{Limit: 1000})
	Check(o.T, err)
	for _, e := range all {
		if e.Type == "alarm" {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// Alarmed waits for the one alarm, which has to name all of this.
func (o *Org) Alarmed(parts ...string) {
	o.T.Helper()
	Until(o.T, "an alarm at "+o.Name, func() string {
		if len(o.Alarms()) == 0 {
			return "none"
		}
		return ""
	})
	all := o.Alarms()
	if len(all) != 1 {
		o.T.Errorf("%s was told %d times: %q", o.Name, len(all), all)
	}
	for _, part := range parts {
		if !strings.Contains(all[0], part) {
			o.T.Errorf("%s was not told %q, but %q", o.Name, part, all[0])
		}
	}
}

// Arrivals lists the messages that the organisation was told of, in order.
func (o *Org) Arrivals() (ids []record.TransferID) {
	o.T.Helper()
	for after := int64(0); ; {
		page, err := o.Events(o.T.Context(), client.EventFilter{After: &after, Limit: 1000})
		Check(o.T, err)
		if len(page) == 0 {
			return ids
		}
		for _, e := range page {
			if after = e.Seq; e.Type == "message.received" {
				ids = append(ids, e.ID)
			}
		}
	}
}
