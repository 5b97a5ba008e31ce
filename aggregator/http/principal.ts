/** Whose request is being answered: set by the access guard, read by what a request reaches, however deep. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { LOCAL } from '../identity/access.ts';
import type { Principal } from '../identity/roles.ts';

const storage = new AsyncLocalStorage<Principal>();

export function currentPrincipal(): Principal {
  return storage.getStore() ?? LOCAL;
}

export function runAs(principal: Principal, run: () => void): void {
  storage.run(principal, run);
}
