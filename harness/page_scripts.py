"""What is run in the page to look at it."""

from __future__ import annotations

#: Remembers what kept the page from answering for long.
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({ type: "longtask", buffered: true });
"""
#: (what is waited for must not be a promise, which is something at once)
KNOW = "async () => { window.shown = (await import('./main.js')).log; }"
