"""Update bundles and the keys that they are signed with; see README.md."""
