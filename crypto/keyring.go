package crypto

import (
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/rand"
	"sync"

	"filippo.io/age"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"dxd/record"
)

// maxKeys of each sort fit on a card.
const maxKeys = 16

// Keyring holds every private key of an organisation on this machine. Keys
// never leave it but in the sealed form that Lock gives.
//
// Of each sort of key the first is the one in use. Those behind it are on
// their way out: they still stand on the card and still open what was sealed
// for them.
//
// Which keys it holds changes under those who use it: see Become.
type Keyring struct {
	hidden
	state func() *state
}

// state is what changes.
type state struct {
	mu      sync.RWMutex // guards what follows
	secrets *secrets     // itself never changed
	under   map[record.RecordID]ed25519Key
	gone    []stored // what the keyring had and has no more
}

func (s *state) set(next *secrets) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo(next)
	s.secrets = next
}

// adopt keeps the key with which records under a card are signed. It stays
// until the process ends, a little longer than in the file: somebody may be
// about to sign under a card that was ours a moment ago.
func (s *state) adopt(card record.RecordID, key ed25519Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under[card] = key
}

// signing is the key for records under a card; of a card that was not adopted,
// the one in use.
func (s *state) signing(card record.RecordID) ed25519Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if key, ok := s.under[card]; ok {
		return key
	}
	return s.secrets.signing[0]
}

func (k *Keyring) secrets() *secrets {
	s := k.state()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.secrets
}

type ed25519Key = ed25519.PrivateKey

type secrets struct {
	root       ed25519.PrivateKey
	signing    []ed25519.PrivateKey
	nodes      []ed25519.PrivateKey
	recipients []*age.HybridIdentity
	accounts   []*secp256k1.PrivateKey
	stored     []stored // one, or while the storage key is rotated two
	index      [32]byte // hides what would tell something in the journal's keys

	org     record.OrgID
	nodeIDs []record.NodeID

	lock *fileLock // of the file that they came from; nil if from none
}

// clone is a copy whose lists can be replaced.
func (s *secrets) clone() *secrets {
	c := *s
	c.nodeIDs = nil // keyring computes them
	return &c
}

// Generate draws a fresh keyring with one key of each sort.
func Generate() (*Keyring, error) {
	recipient, err := newRecipient()
	if err != nil {
		return nil, err
	}
	account, err := newAccount()
	if err != nil {
		return nil, err
	}
	s := &secrets{
		root:       newEd25519(),
		signing:    []ed25519.PrivateKey{newEd25519()},
		nodes:      []ed25519.PrivateKey{newEd25519()},
		recipients: []*age.HybridIdentity{recipient},
		accounts:   []*secp256k1.PrivateKey{account},
	}
	s.stored = []stored{newStored()}
	rand.Read(s.index[:])
	return s.keyring()
}

func newEd25519() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return ed25519.NewKeyFromSeed(seed)
}

func newRecipient() (*age.HybridIdentity, error) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't generate a recipient key: %w", err)
	}
	return key, nil
}

func newAccount() (*secp256k1.PrivateKey, error) {
	key, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't generate an account: %w", err)
	}
	return key, nil
}

// keyring computes the identifiers of the keys and checks them.
func (s *secrets) keyring() (*Keyring, error) {
	var err error
	if s.org, err = record.MakeOrgID(publicKey(s.root)); err != nil {
		return nil, err
	}
	for _, key := range s.nodes {
		id, err := record.MakeNodeID(publicKey(key))
		if err != nil {
			return nil, err
		}
		s.nodeIDs = append(s.nodeIDs, id)
	}
	kept := &state{secrets: s, under: map[record.RecordID]ed25519Key{}}
	return &Keyring{state: func() *state { return kept }}, nil
}

func publicKey(key ed25519.PrivateKey) ed25519.PublicKey {
	return key.Public().(ed25519.PublicKey)
}

// Org is the organisation whose keys these are.
func (k *Keyring) Org() record.OrgID { return k.secrets().org }

// Node is the node in use.
func (k *Keyring) Node() record.NodeID { return k.secrets().nodeIDs[0] }

// Account is the chain account in use.
func (k *Keyring) Account() record.Account { return accountOf(k.secrets().accounts[0]) }

func accountOf(key *secp256k1.PrivateKey) record.Account {
	return record.AccountOf(key.PubKey().SerializeUncompressed())
}

// Recipient is the age recipient in use, "age1pq1…".
func (k *Keyring) Recipient() string { return k.secrets().recipients[0].Recipient().String() }

// NodeSigner signs with the node key in use now, for the handshakes of the
// network, also after another has come into use.
func (k *Keyring) NodeSigner() stdcrypto.Signer {
	key := k.secrets().nodes[0]
	return &nodeSigner{key: func() ed25519.PrivateKey { return key }}
}
