// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title HashAnchor: the first time that an account showed a hash
/// @notice For each account and root it keeps when `anchor` was first called,
/// and never changes that again. Nobody owns it, it holds no money, and what
/// one account anchors neither takes nor spoils anything of another.
contract HashAnchor {
    /// @notice `account` has anchored `root` for the first time, in this block.
    event Anchored(address indexed account, bytes32 indexed root);

    /// Slot 0. account → root → chain id << 128 | block number << 64 | timestamp;
    /// 0 if the account has not anchored the root.
    mapping(address => mapping(bytes32 => uint256)) private anchors;

    /// @notice Anchors `root` for the caller. A repeat does nothing, so that
    /// sending a transaction twice is harmless.
    function anchor(bytes32 root) external {
        if (anchors[msg.sender][root] != 0) {
            return;
        }
        anchors[msg.sender][root] = uint256(uint64(block.chainid)) << 128 | uint256(uint64(block.number)) << 64
            | uint64(block.timestamp);
        emit Anchored(msg.sender, root);
    }

    /// @notice When `account` first anchored `root`: seconds since 1970, the
    /// block, and the chain's id then, so that a fork of the chain can be told
    /// from it. All zero if it never has.
    function anchorOf(address account, bytes32 root)
        external
        view
        returns (uint64 timestamp, uint64 blockNumber, uint64 chainId)
    {
        uint256 packed = anchors[account][root];
        return (uint64(packed), uint64(packed >> 64), uint64(packed >> 128));
    }
}
