package config

// Template is the dxd.toml that a new state directory gets: every key with
// what it means, and its default behind a comment sign.
const Template = `# Configuration of dxd. Each line that is commented out shows its default.
# A flag beats an environment variable, and that beats this file.

# Multiaddrs to listen on for partners. Beside each stands what it is: TCP with
# TLS 1.3 for bulk, QUIC where TCP does not get through.
# listen = ["/ip4/0.0.0.0/tcp/4600", "/ip4/0.0.0.0/udp/4600/quic-v1"]

# Multiaddrs to tell partners instead of those above, for instance the public
# address of a router: ["/ip4/203.0.113.7/tcp/4600", "/dns4/dxd.example.com/tcp/4600"]
# announce = []

# Where local applications reach the daemon: "unix:PATH", "host:port" besides
# the socket, or both with a comma between.
# api = "unix:api.sock"

[transport]
# "auto" (TCP first for bulk, QUIC where TCP does not connect), "tcp" or "quic"
# prefer = "auto"

[log]
# "debug", "info", "warn" or "error". Names of documents and partners appear at
# "debug" only.
# level = "info"

# "text" or "json"
# format = "text"

[anchor]
# URLs of JSON-RPC endpoints, in the order in which they are asked. They may
# hold keys: this file is readable by its owner only, and no log shows them
# whole. Empty: nothing is anchored for now, and what is to be anchored waits.
# rpc = []

# The chain's id: an endpoint that answers for another chain is refused.
# ` + "`dxd anchor deploy`" + ` fills this in, and the contract's address.
# chain_id = 1
# contract = "0x0000000000000000000000000000000000000000"

# A batch closes after this time, or with this many records.
# interval = "10s"
# max_leaves = 4096

# "steady" anchors a batch at every interval, if need be of padding alone, and
# none in between: an observer of the chain can't see pauses or bursts. Each
# costs some 50,000 gas, so choose a longer interval with it.
# cadence = "as-needed"

# "finalized" is the chain's own tag (64 blocks where it has none). A number of
# blocks suits a chain that never goes back further.
# finality = "finalized"

# The highest price per gas that is paid, in gwei.
# max_fee = 200

[retain]
# How long a payload is kept here once it was delivered, or delivery has failed
# or was cancelled ("7d", "12h", "forever"). Then the document is erased, and
# what proves that it was sent stays.
# sent = "7d"

# The same for what came in, from its receipt on.
# received = "forever"

# How long events are kept at least ("30d", "12h", "forever"). One that a
# subscription has not acknowledged stays in any case.
# events = "30d"

[check]
# Each payload that is kept is read and compared with what was signed, so often
# ("30d", "12h", "never"), and so many bytes a second.
# every = "30d"
# pace = "4MiB"

[erase]
# When a partner asks that something be erased here, too: "ask" tells people and
# applications (the event erase.requested), who answer; "always" erases it,
# unless it is on hold, and "never" refuses.
# on_request = "ask"

[quota]
# What each partner can make this node take and keep; 0 is no bound. A partner
# with bounds of its own (` + "`dxd partner quota`" + `) has those instead. Bytes that are
# kept of what it sent, and is sending:
# stored = "100GiB"

# Bytes of documents that are on their way in at a time. What is larger than one
# of these two is refused for good; all else waits until there is room.
# in_flight = "100GiB"

# Half-received documents.
# partials = 256

# Documents and messages a minute.
# transfers_per_minute = 600000

# Documents and messages that a subscription has not acknowledged.
# unacknowledged_events = 1000000

[disk]
# What is always left free on the disk, so that a full one harms nothing.
# reserve = "256MiB"
`
