package hashanchor

import (
	"fmt"
	"math/big"
	"strings"

	"dxd/record"
)

// ShortError is why an account can't pay for a transaction. Whoever sends it
// some coin mends it.
type ShortError struct {
	Account record.Account
	Holds   *big.Int // wei
	Needs   *big.Int // wei, at most
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("account %s holds %s of the chain's coin (ether), and needs up to %s for its next transaction", e.Account, coins(e.Holds), coins(e.Needs))
}

// coins prints an amount of wei exactly, in units of 10^18.
func coins(wei *big.Int) string {
	s := new(big.Rat).SetFrac(wei, big.NewInt(1e18)).FloatString(18)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}
