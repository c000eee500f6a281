package crypto

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"filippo.io/age"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/go-json-experiment/json"
	"golang.org/x/crypto/argon2"

	"dxd/record"
)

// A keyring file is strict JSON: a header, the keys, and a checksum. See
// docs/spec/keyring.md.

const (
	keyfileFormat  = "dxd keyring"
	keyfileVersion = 2 // the newest
	plainVersion   = 1 // without former keys, and so all but during a rotation of the storage key

	protectedBy   = "passphrase"
	protectedNone = "none: whoever reads this file has every key"

	maxKeyfile = 1 << 20
)

// keyfileHeader is authenticated along with the keys.
type keyfileHeader struct {
	Format     string `json:"format"`
	Version    int64  `json:"version"`
	Protection string `json:"protection"`
	Argon2id   kdf    `json:"argon2id,omitzero"`
}

type keyfile struct {
	keyfileHeader
	Keys string `json:"keys"` // base64: sealed, or as they are
	// Checksum is SHA-256 over the file without it. It tells a damaged file
	// from a wrong passphrase; against a forger stands the seal.
	Checksum string `json:"checksum,omitzero"`
}

// kdf holds the parameters of Argon2id (RFC 9106).
type kdf struct {
	Memory int64        `json:"memory_kib"`
	Passes int64        `json:"passes"`
	Lanes  int64        `json:"lanes"`
	Salt   record.Nonce `json:"salt"`
}

// What new files get. Newer versions may raise it up to the limits.
const (
	kdfMemory = 64 << 10 // KiB
	kdfPasses = 3
	kdfLanes  = 4
)

// The limits for files that are read: a file that was tampered with must not
// cost more memory and time than any machine has to spare.
const (
	maxKDFMemory = 512 << 10 // KiB
	maxKDFPasses = 16
	maxKDFLanes  = 16
)

func (p kdf) check() error {
	if p.Passes < 1 || p.Passes > maxKDFPasses || p.Lanes < 1 || p.Lanes > maxKDFLanes ||
		p.Memory < 8*p.Lanes || p.Memory > maxKDFMemory {
		return record.Errorf(record.Damaged, "the keyring asks for an unreasonable amount of work: %d KiB, %d passes, %d lanes", p.Memory, p.Passes, p.Lanes)
	}
	return nil
}

func (p kdf) key(passphrase []byte) []byte {
	return argon2.IDKey(passphrase, p.Salt[:], uint32(p.Passes), uint32(p.Memory), uint8(p.Lanes), 32)
}

// keyfileSecrets is what a keyring file protects. Private keys are lower-case
// hex but for those of recipients, which are as age writes them.
type keyfileSecrets struct {
	Root       string   `json:"root"`
	Signing    []string `json:"signing"`
	Nodes      []string `json:"nodes"`
	Recipients []string `json:"recipients"`
	Accounts   []string `json:"accounts"`
	Journal    string   `json:"journal"`
	Index      string   `json:"index"`
	Storage    string   `json:"storage"`

	// Those of before, in a file of version 2. An older program must not take
	// them for nothing, and write a file without them.
	FormerJournal string `json:"former_journal,omitzero"`
	FormerStorage string `json:"former_storage,omitzero"`
}

// version is the least that has all of the keys.
func (e keyfileSecrets) version() int64 {
	if e.FormerJournal != "" || e.FormerStorage != "" {
		return keyfileVersion
	}
	return plainVersion
}

// Lock gives the content of a keyring file that this passphrase opens. With
// an empty passphrase the keys stand in it unprotected, and it says so.
func (k *Keyring) Lock(passphrase []byte) ([]byte, error) {
	l := &fileLock{}
	if len(passphrase) > 0 {
		l.params = kdf{Memory: kdfMemory, Passes: kdfPasses, Lanes: kdfLanes}
		rand.Read(l.params.Salt[:])
		l.key = l.params.key(passphrase)
	}
	return k.secrets().file(l)
}

// Relock gives the content of a keyring file that opens as the one does from
// which the keyring was unlocked. For this the keyring keeps the key that was
// derived from the passphrase, and not the passphrase.
func (k *Keyring) Relock() ([]byte, error) {
	s := k.secrets()
	if s.lock == nil {
		return nil, record.Errorf(record.Internal, "this keyring comes from no file, so nothing says how to lock it")
	}
	return s.file(s.lock)
}

// fileLock protects a keyring file. The zero value does not.
type fileLock struct {
	params kdf
	key    []byte // derived by params
}

// file writes the keyring file. Each has a nonce of its own under the lock's
// key, and 24 bytes of it are enough to draw them at random.
func (s *secrets) file(l *fileLock) ([]byte, error) {
	e := s.encode()
	keys, err := record.Marshal(e)
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't encode the keyring: %w", err)
	}
	f := keyfile{keyfileHeader: keyfileHeader{Format: keyfileFormat, Version: e.version(), Protection: protectedNone}}
	if l.key != nil {
		f.Protection, f.Argon2id = protectedBy, l.params
		ad, err := record.Marshal(f.keyfileHeader)
		if err != nil {
			return nil, record.Errorf(record.Internal, "couldn't encode the keyring: %w", err)
		}
		keys = seal(newAEAD(l.key), keys, ad)
	}
	f.Keys = base64.StdEncoding.EncodeToString(keys)
	if f.Checksum, err = f.checksum(); err != nil {
		return nil, err
	}
	b, err := record.Marshal(f)
	return append(b, '\n'), err
}

func (f keyfile) checksum() (string, error) {
	f.Checksum = ""
	b, err := record.Marshal(f)
	if err != nil {
		return "", record.Errorf(record.Internal, "couldn't encode the keyring: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// NeedsPassphrase tells whether the keyring file is protected. Errors are as
// for Unlock.
func NeedsPassphrase(file []byte) (bool, error) {
	f, err := parseKeyfile(file)
	return f.Protection == protectedBy, err
}

// parseKeyfile reads a keyring file as far as that goes without passphrase.
func parseKeyfile(file []byte) (keyfile, error) {
	if len(file) > maxKeyfile || len(file) == 0 || file[len(file)-1] != '\n' {
		return keyfile{}, errDamagedKeyfile
	}
	file = file[:len(file)-1]
	// The version comes first: a newer file may have other members.
	var v struct {
		Format  string `json:"format"`
		Version int64  `json:"version"`
	}
	if err := json.Unmarshal(file, &v); err != nil || v.Format != keyfileFormat || v.Version < 1 {
		return keyfile{}, errDamagedKeyfile
	}
	if v.Version > keyfileVersion {
		return keyfile{}, record.WithHint(record.Errorf(record.Invalid, "the keyring file is of version %d, this dxd knows %d", v.Version, keyfileVersion),
			"use the version of dxd that wrote it, or a newer one")
	}
	var f keyfile
	if err := record.Unmarshal(file, &f); err != nil {
		return keyfile{}, errDamagedKeyfile
	}
	if sum, err := f.checksum(); err != nil || sum != f.Checksum {
		return keyfile{}, errDamagedKeyfile
	}
	return f, f.check()
}

func (f keyfile) check() error {
	switch f.Protection {
	case protectedBy:
		return f.Argon2id.check()
	case protectedNone:
		if f.Argon2id == (kdf{}) {
			return nil
		}
	}
	return errDamagedKeyfile
}

var errDamagedKeyfile = record.WithHint(record.Errorf(record.Damaged, "the keyring file is damaged"),
	"restore it from a backup; nothing can be opened without it")

// Unlock reads a keyring file. The error is of kind Refused if the passphrase
// is wrong, Damaged if the file was changed, and Invalid if a newer version
// wrote it. A passphrase for a file that needs none is not looked at.
func Unlock(file, passphrase []byte) (*Keyring, error) {
	f, err := parseKeyfile(file)
	if err != nil {
		return nil, err
	}
	keys, err := base64.StdEncoding.Strict().DecodeString(f.Keys)
	if err != nil {
		return nil, errDamagedKeyfile
	}
	lock := &fileLock{}
	if f.Protection == protectedBy {
		if lock, err = f.lock(passphrase); err != nil {
			return nil, err
		}
		if keys, err = f.unseal(keys, lock); err != nil {
			return nil, err
		}
	}
	var e keyfileSecrets
	if err := record.Unmarshal(keys, &e); err != nil || e.version() != f.Version {
		return nil, errDamagedKeyfile
	}
	s, err := e.decode()
	if err != nil {
		return nil, errDamagedKeyfile
	}
	s.lock = lock
	return s.keyring()
}

// lock is what the passphrase makes of the file's parameters.
func (f keyfile) lock(passphrase []byte) (*fileLock, error) {
	if len(passphrase) == 0 {
		return nil, record.WithHint(record.Errorf(record.Refused, "the keyring needs a passphrase"),
			"give it with --passphrase-file, DXD_PASSPHRASE_FILE or DXD_PASSPHRASE")
	}
	return &fileLock{f.Argon2id, f.Argon2id.key(passphrase)}, nil
}

// unseal opens the keys. With the file's checksum right, the passphrase is
// what must be wrong.
func (f keyfile) unseal(sealed []byte, l *fileLock) ([]byte, error) {
	ad, err := record.Marshal(f.keyfileHeader)
	if err != nil {
		return nil, errDamagedKeyfile
	}
	keys, err := open(newAEAD(l.key), sealed, ad)
	if err != nil {
		return nil, record.Errorf(record.Refused, "wrong passphrase")
	}
	return keys, nil
}

func (s *secrets) encode() keyfileSecrets {
	e := keyfileSecrets{
		Root:    hex.EncodeToString(s.root.Seed()),
		Journal: hex.EncodeToString(s.stored[0].journal[:]),
		Index:   hex.EncodeToString(s.index[:]),
		Storage: hex.EncodeToString(s.stored[0].storage[:]),
	}
	for _, former := range s.stored[1:] { // one at most
		e.FormerJournal, e.FormerStorage = hex.EncodeToString(former.journal[:]), hex.EncodeToString(former.storage[:])
	}
	for _, key := range s.signing {
		e.Signing = append(e.Signing, hex.EncodeToString(key.Seed()))
	}
	for _, key := range s.nodes {
		e.Nodes = append(e.Nodes, hex.EncodeToString(key.Seed()))
	}
	for _, key := range s.recipients {
		e.Recipients = append(e.Recipients, key.String())
	}
	for _, key := range s.accounts {
		e.Accounts = append(e.Accounts, hex.EncodeToString(key.Serialize()))
	}
	return e
}

func (e keyfileSecrets) decode() (*secrets, error) {
	s := &secrets{}
	var err error
	if s.root, err = parseEd25519(e.Root); err != nil {
		return nil, err
	}
	if s.signing, err = parseKeys(e.Signing, parseEd25519); err != nil {
		return nil, err
	}
	if s.nodes, err = parseKeys(e.Nodes, parseEd25519); err != nil {
		return nil, err
	}
	if s.recipients, err = parseKeys(e.Recipients, age.ParseHybridIdentity); err != nil {
		return nil, err
	}
	if s.accounts, err = parseKeys(e.Accounts, parseAccount); err != nil {
		return nil, err
	}
	if s.index, err = parse32(e.Index); err != nil {
		return nil, err
	}
	s.stored, err = e.decodeStored()
	return s, err
}

// decodeStored reads the storage key in use, and the one of before if there is one.
func (e keyfileSecrets) decodeStored() (all []stored, err error) {
	pairs := [][2]string{{e.Journal, e.Storage}}
	if e.version() > plainVersion {
		pairs = append(pairs, [2]string{e.FormerJournal, e.FormerStorage})
	}
	for _, pair := range pairs {
		var s stored
		if s.journal, err = parse32(pair[0]); err != nil {
			return nil, err
		}
		if s.storage, err = parse32(pair[1]); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// parseKeys reads a list of keys of one sort.
func parseKeys[K any](list []string, parse func(string) (K, error)) ([]K, error) {
	if len(list) < 1 || len(list) > maxKeys {
		return nil, errDamagedKeyfile
	}
	keys := make([]K, len(list))
	for i, s := range list {
		var err error
		if keys[i], err = parse(s); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// parse32 reads 32 bytes in lower-case hex.
func parse32(s string) ([32]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return [32]byte{}, errDamagedKeyfile
	}
	return [32]byte(b), nil
}

func parseEd25519(s string) (ed25519.PrivateKey, error) {
	seed, err := parse32(s)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed[:]), nil
}

// parseAccount reads a secp256k1 key from 1 to the group's order less 1.
func parseAccount(s string) (*secp256k1.PrivateKey, error) {
	b, err := parse32(s)
	if err != nil {
		return nil, err
	}
	var scalar secp256k1.ModNScalar
	if scalar.SetBytes(&b) != 0 || scalar.IsZero() {
		return nil, errDamagedKeyfile
	}
	return secp256k1.NewPrivateKey(&scalar), nil
}
