/**
 * Who somebody is to the aggregator, and what that allows. Pure: a principal and a role or a VM in, yes or no out. A principal
 * with a tenant or labels sees and touches the VMs that carry them, and nothing that belongs to all.
 */

export const ROLES = ['viewer', 'operator', 'administrator'] as const;
export type Role = (typeof ROLES)[number];

export interface Scope {
  /** null = of no tenant. */
  tenant: string | null;
  /** Labels a VM must have, all of them. */
  labels: Readonly<Record<string, string>>;
}

export interface Principal extends Scope {
  /** For the ledger: `token ci`, `oidc alice@example.com`, `local`. */
  name: string;
  role: Role;
}

/** An administrator may do what an operator may, an operator what a viewer may. */
export function hasRole({ role }: Principal, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Sees the whole fleet. */
export function isFleetWide({ tenant, labels }: Scope): boolean {
  return tenant === null && Object.keys(labels).length === 0;
}

/** `tenantLabel`: the label of VMs that says whose they are. */
export function inScope({ tenant, labels }: Scope, vm: Readonly<Record<string, string>>, tenantLabel: string): boolean {
  if (tenant !== null && vm[tenantLabel] !== tenant) return false;
  return Object.entries(labels).every(([label, value]) => vm[label] === value);
}
