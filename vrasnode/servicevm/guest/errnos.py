"""What the kernel's "no" means for a volume, as codes of ours."""

import errno

from vrasnode.servicevm.guest.answering import Refusal

_CODES = {
    errno.ENOENT: ("no_such_name", "There is nothing of this name."),
    errno.ENOTDIR: ("not_a_folder", "That is no folder."),
    errno.EISDIR: ("not_a_file", "That is no file."),
    errno.ELOOP: ("is_a_link", "That is a link; links are shown, never followed."),
    errno.EACCES: ("not_permitted", "This person may not read that."),
    errno.EPERM: ("not_permitted", "This person may not read that."),
    errno.ENAMETOOLONG: ("bad_path", "No name is that long."),
    errno.ENOSPC: ("disk_full", "The volume is full."),
    errno.EROFS: (
        "volume_read_only",
        "The volume takes no changes since an error: open it anew.",
    ),
    errno.EIO: ("volume_gone", "The volume's disk does not answer."),
    errno.ENXIO: ("volume_gone", "The volume's disk does not answer."),
    errno.ENODEV: ("volume_gone", "The volume's disk does not answer."),
    errno.EUCLEAN: ("volume_damaged", "The volume's file system is damaged."),
    errno.EBADMSG: ("volume_damaged", "The volume's file system is damaged."),
    errno.EMFILE: ("too_deep", "Folders lie too deep in each other."),
}


def refusal_of(error: OSError) -> Refusal:
    """In the words of a volume, without the path: that is the user's."""
    code, words = _CODES.get(error.errno or 0, ("guest_failed", error.strerror or "unknown error"))
    return Refusal(code, words)
