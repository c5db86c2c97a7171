// Before anything is drawn: the theme that the reader chose last. Pages from disk may be kept from storage.
try {
  const chosen = localStorage.getItem('arn-theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch { /* the system's theme, then */ }
