// The button that changes the theme.

const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = at('theme');
const isDark =
  () => (document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark' : dark.matches);
const nameTheme = () => {
  theme.textContent = isDark() ? 'Light' : 'Dark';
  theme.setAttribute('aria-label', `Switch to the ${isDark() ? 'light' : 'dark'} theme`);
};
theme.addEventListener('click', () => {
  const chosen = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem('arn-theme', chosen);
  } catch { /* for this time, then */ }
  nameTheme();
});
dark.addEventListener('change', nameTheme);
theme.hidden = false;
nameTheme();
