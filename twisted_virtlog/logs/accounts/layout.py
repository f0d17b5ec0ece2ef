"""Where the counts of one log are in memory: a slot of words, which a kill leaves whole.

A word is a signed number of 64 bits at a multiple of 8, and is changed by one store. So what the
process had counted before it was killed is what the memory holds, whichever line it was at.

Nearly every change is of one word, the end of the current file. The others change several counts
at once: a slot has two *rows* of them, and says which one holds. A change fills the other row and
then that word.
"""

from __future__ import annotations

#: The words of a slot.
SLOT = 64

WORD_BYTES = 8

# Of a slot, before its rows.

#: The number of the guest's pipe; 0 if the slot is free, UNNAMED if the log has no pipe, DROPPING
#: if it is that of no log, see below.
KEY = 0
UNNAMED = -1
DROPPING = -2
#: The first word of the row that holds, counted from the slot's.
ACTIVE = 1
#: When the log was opened, in microseconds since 1970; 0 if nothing is counted yet.
SINCE = 2
#: While a file is being removed: its size and one, 0 for none; why it is; and its number.
REMOVING = 3
REASON = 4
REMOVED_INODE = 7
#: Bytes that another thread than the log's dropped, by why; two of the four reasons.
ELSEWHERE = 5

#: The rows begin here, one after the other, and each has so many words.
ROWS = 8
ROW = 28

# Of a row.

#: The size of the current file, up to which all is counted; its number, 0 if there is none now; and
#: from where on what is in it is counted by END alone, for the kind of KIND.
END = 0
INODE = 1
START = 2
KIND = 3
#: Bytes of the current file that are not under its name: another program moved or removed it.
AWAY = 4
#: 1 if the log's files are regular ones, so that there is something to compare.
REGULAR = 5
#: Bytes that were taken out of the file, to be written again (see Stranded), and of which kind.
BACK = 6
BACK_KIND = 7
#: Bytes written, by kind, but for those from START to END.
WRITTEN = 8
KINDS = 3
GUEST, APPENDED, NOTICE = range(KINDS)
#: Bytes of guests that are lost, in the order of DropReason.
DROPPED = 11
DROP_REASONS = 4
#: Bytes in the files when the log was opened.
FOUND = 15
#: Bytes in removed files, in the order of RemovalReason.
REMOVED = 16
REMOVAL_REASONS = 5
#: What other programs did.
CUT = 21
TAKEN = 22
ADDED = 23
#: Bytes in held files; see names.
HELD = 24

# The first slot is that of what is closed. Its rows have WRITTEN and DROPPED, and it says in place
# of KEY what this is, and in place of REMOVING since which start of the system it counts.

BEGINNING = int.from_bytes(b"virtlog1", "little")
BOOT = REMOVING
#: In place of REASON: the end of the slots that were ever used, counted from the first word.
USED = REASON
#: Of a row: the slot of the log that was added last, until that is free.
CLOSED = END

# A slot of what a thread drops (DROPPING) has neither rows nor what comes before them, but a
# record; see drop_record.py.

#: The inode number of the pipe through which the bytes go.
DROP_PIPE = 1
#: The slot of their log; which count it is, a word of the slot if below ROWS and of a row
#: otherwise; and what was counted there before.
DROP_LOG = 2
DROP_COUNT = 3
DROP_BEFORE = 4
#: Whether bytes may be in the pipe that are not counted, or only such that are.
DROP_STATE = 5
NO_DROP, TAKING, COUNTED = range(3)
