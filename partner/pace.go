package partner

import (
	"time"

	"dxd/record"
)

// Each card that was taken is kept for ever, since records may name it, and
// counts in no quota. So a partner that is connected brings new ones no faster
// than this: a whole history and some more at once, and then one each pace. An
// honest one has a handful a year.
const (
	cardBurst = MaxHistory + 16
	cardPace  = 10 * time.Minute
)

// paces tells for each partner when it may bring a whole burst again. It is in
// memory alone: a partner can't restart us.
type paces map[record.OrgID]time.Time

// check refuses new cards of a partner for now, with an error of kind Quota, if
// they are too many.
func (p paces) check(org record.OrgID, n int, now time.Time) error {
	if p.wait(org, now)+time.Duration(n)*cardPace > cardBurst*cardPace {
		return record.Errorf(record.Quota, "a partner brings new cards faster than they are taken")
	}
	return nil
}

// spend counts new cards of a partner.
func (p paces) spend(org record.OrgID, n int, now time.Time) {
	p[org] = now.Add(p.wait(org, now) + time.Duration(n)*cardPace)
}

// wait is how long it is until the partner may bring a whole burst. A clock
// that was set back begins anew.
func (p paces) wait(org record.OrgID, now time.Time) time.Duration {
	wait := p[org].Sub(now)
	if wait < 0 || wait > cardBurst*cardPace {
		return 0
	}
	return wait
}
