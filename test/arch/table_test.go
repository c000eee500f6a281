// Package arch holds the house plan as a test: who may import whom, which
// outside module belongs to which room, and the few rules on the form of a
// package that no compiler knows.
//
// It never looks at what code does. A room that needs more than its row says
// is a change of the plan: change the row together with ARCHITECTURE, and say
// why in docs/decisions.
package arch

// room is one row of the plan. It speaks of one package; those below it have
// rows of their own.
type room struct {
	name string

	// may lists the own packages that it imports: "x" for one, "x/..." for all
	// from there, "*" for all but what the list never keeps out.
	may string

	// parts lists the outside modules, or packages of them, that it imports.
	parts string
}

// rooms is the table. Test files are not held to it.
var rooms = []room{
	{"cmd/dxd", "*", "github.com/spf13/cobra github.com/spf13/pflag github.com/schollz/progressbar/v3 github.com/klauspost/readahead golang.org/x/term github.com/google/uuid"},
	{"cmd/dxd-demo", "internal/... client api/apitype record", "github.com/spf13/cobra golang.org/x/term"},
	{"internal/daemon", "*", "github.com/prometheus/client_golang github.com/cenkalti/backoff/v5 golang.org/x/sync"},
	{"api", "internal/pagecache api/apitype exchange partner event hashanchor hashanchor/queue record", "github.com/danielgtaylor/huma/v2 github.com/coder/websocket github.com/prometheus/client_golang github.com/google/uuid"},
	{"api/ffdx", "api/apitype exchange partner event hashanchor/queue record", "github.com/coder/websocket"},
	{"api/apitype", "record", ""},
	{"client", "api/apitype record", "github.com/coder/websocket github.com/cenkalti/backoff/v5"},
	{"exchange", "partner event hashanchor hashanchor/queue crypto blobstore record", "github.com/go-json-experiment/json github.com/google/uuid github.com/cenkalti/backoff/v5 golang.org/x/sync"},
	{"partner", "blobstore crypto record", ""},
	{"event", "blobstore record", ""},
	{"hashanchor/queue", "hashanchor blobstore record", "github.com/cenkalti/backoff/v5"},
	{"hashanchor/evm", "hashanchor hashanchor/evm/stateproof record", "github.com/ethereum/go-ethereum github.com/holiman/uint256"},
	{"hashanchor/evm/stateproof", "record", "github.com/ethereum/go-ethereum/trie github.com/ethereum/go-ethereum/rlp github.com/ethereum/go-ethereum/core/types github.com/ethereum/go-ethereum/common github.com/ethereum/go-ethereum/crypto github.com/ethereum/go-ethereum/ethdb"},
	{"hashanchor", "record", "github.com/transparency-dev/merkle"},
	{"blobstore", "record", ""},
	{"blobstore/blobstoretest", "blobstore record", "pgregory.net/rapid"},
	{"blobstore/badger", "internal/pagecache blobstore record", "github.com/dgraph-io/badger/v4 github.com/dgraph-io/ristretto/v2/z golang.org/x/sys"},
	{"p2p", "record", "github.com/libp2p github.com/quic-go/quic-go github.com/multiformats golang.org/x/net/ipv4 golang.org/x/sys"},
	{"crypto", "record", "filippo.io/age filippo.io/hpke github.com/go-json-experiment/json golang.org/x/crypto github.com/decred/dcrd/dcrec/secp256k1/v4"},
	// That record computes what it names (keys, identifiers, Merkle roots) is
	// what it needs more than the plan's first row said.
	{"record", "", "github.com/ipfs/go-cid github.com/go-json-experiment/json github.com/multiformats/go-multihash github.com/decred/dcrd/dcrec/secp256k1/v4 golang.org/x/crypto/sha3 github.com/transparency-dev/merkle"},
	{"internal/config", "record", "github.com/pelletier/go-toml/v2"},
	{"internal/statedir", "record", ""},
	{"internal/pagecache", "", "golang.org/x/sys"},
	{"internal/devchain", "record", "github.com/ethereum/go-ethereum github.com/holiman/uint256"},
	{"test/...", "*", "*"},
}

// never lists what production code must not reach, over whatever detour: the
// tests' own code, and a whole Ethereum node. cmd/dxd-demo is there to run one.
var never = []struct{ from, reach string }{
	{"cmd/dxd", "testing test/... blobstore/blobstoretest internal/devchain github.com/ethereum/go-ethereum/node github.com/ethereum/go-ethereum/eth"},
	{"cmd/dxd-demo", "testing test/... blobstore/blobstoretest"},
	{"client", "testing test/... blobstore/blobstoretest internal/devchain github.com/ethereum/... github.com/libp2p/... github.com/dgraph-io/..."},
}

// pure lists packages of the standard library that a room does without.
var pure = []struct{ room, without string }{
	{"record", "os os/exec net syscall log log/slog time crypto/rand math/rand math/rand/v2"},
	{"hashanchor", "os os/exec net net/http syscall log log/slog"},
	{"hashanchor/evm/stateproof", "os os/exec net net/http syscall log log/slog context"},
	{"crypto", "os os/exec net net/http syscall log context"}, // log/slog: its types say how they are logged
	{"internal/config", "net/http os/exec"},
}

// hidden lists the modules whose types stand in no exported API.
const hidden = "github.com/libp2p github.com/quic-go github.com/multiformats github.com/dgraph-io github.com/ethereum filippo.io"
