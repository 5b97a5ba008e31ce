/**
 * Where the aggregator asks who one is: the way to the identity provider where there is one, a field for a token, and a way out again.
 * Input: a token, or a click; output: a session, and the page anew.
 */
import { client } from './api.ts';
import { el, setChildren, setText } from './dom.ts';

/** Remembered by this tab, so that it can offer the way out; the session itself no script can read. */
const FLAG = 'headroom.logged-in';

async function logIn(token: string): Promise<string | null> {
  const { error, response } = await client.POST('/v1/session', { body: { token } });
  if (response.ok) return null;
  return error?.detail ?? `the aggregator answered with status ${response.status}`;
}

export function logInPage(): HTMLElement {
  const field = el('input', { type: 'password', id: 'token', autocomplete: 'current-password', required: true, spellcheck: 'false' });
  const problem = el('p', { role: 'alert', class: 'log-in-problem' });
  const form = el(
    'form',
    { class: 'log-in' },
    el('h1', {}, 'Log in'),
    el('p', {}, 'This aggregator asks who you are. Paste an API token, or a token of your identity provider.'),
    el('label', { for: 'token' }, 'Token'),
    field,
    el('button', { type: 'submit' }, 'Log in'),
    problem,
  );
  void offerProvider(form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void logIn(field.value.trim()).then((refused) => {
      if (refused !== null) {
        setText(problem, refused);
        field.select();
        return;
      }
      sessionStorage.setItem(FLAG, 'yes');
      location.reload();
    });
  });
  return form;
}

/** A link above the token, where people can come by the identity provider: a page may not send them there by itself. */
async function offerProvider(form: HTMLElement): Promise<void> {
  const ways = await client.GET('/v1/session/ways').catch(() => null);
  if (!ways?.data?.provider) return;
  const link = el('a', { href: '/v1/session/provider', class: 'log-in-provider' }, 'Log in with your identity provider');
  link.addEventListener('click', () => sessionStorage.setItem(FLAG, 'yes'));
  form.querySelector('h1')?.after(link);
}

/** Adds the way out to a navigation, where this tab came in. */
export function offerLogOut(navigation: Element): void {
  if (sessionStorage.getItem(FLAG) === null) return;
  const button = el('button', { type: 'button', class: 'log-out' }, 'Log out');
  button.addEventListener('click', () => {
    sessionStorage.removeItem(FLAG);
    void client.DELETE('/v1/session').finally(() => location.reload());
  });
  setChildren(navigation, [...navigation.children, button]);
}
