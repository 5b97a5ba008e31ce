/** The API's requests and answers by their path, as its OpenAPI document has them. Types only. */
import type { LedgerBody } from '../store/ledger-store.ts';
import type { components, paths } from './api-types.ts';

export type Method = 'get' | 'put' | 'post' | 'delete';

/** Paths that have a method. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [K in M]: { responses: object } } ? P : never;
}[keyof paths];

type Operation<P extends keyof paths, M extends Method> = paths[P][M];

type Answered<T> = { content: { 'application/json': T } };

/** What a request answers when it is done (200), or taken on (202). */
export type Answer<P extends keyof paths, M extends Method = 'get'> =
  Operation<P, M> extends { responses: { 200: Answered<infer T> } }
    ? T
    : Operation<P, M> extends { responses: { 202: Answered<infer T> } }
      ? T
      : never;

/** One of a list that a path answers. */
export type ItemOf<P extends PathOf<'get'>> = Answer<P> extends { items: (infer T)[] } ? T : never;

/** Lists that come in pages. */
export type PagedPath = {
  [P in PathOf<'get'>]: Answer<P> extends { items: unknown[]; cursor: string | null } ? P : never;
}[PathOf<'get'>];

type ParametersOf<P extends keyof paths, M extends Method> = Operation<P, M> extends { parameters: infer A } ? A : never;
type BodyOf<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { requestBody: { content: infer C } }
    ? { body: C[keyof C] }
    : Operation<P, M> extends { requestBody?: { content: infer C } }
      ? { body?: C[keyof C] }
      : object;

type Known<T> = { [K in keyof T as T[K] extends undefined ? never : K]: T[K] };

/** Query, headers, values in the path and body of a request. */
export type RequestOf<P extends keyof paths, M extends Method> = Known<Omit<ParametersOf<P, M>, 'cookie'>> & BodyOf<P, M>;

/** Nothing need be said where nothing must. */
export type Rest<T> = object extends T ? [request?: T] : [request: T];

export type Problem = components['schemas']['Problem'];
export type Vm = components['schemas']['Vm'];
/** One resource of a VM. */
export type ResourceState = Vm['resources']['cpu'];
export type Host = components['schemas']['Host'];
export type Plan = components['schemas']['Plan'];
export type Incident = components['schemas']['Incident'];
export type Group = components['schemas']['Group'];
export type Template = components['schemas']['Template'];
/** The document leaves open what an entry holds: each kind has its own words. */
export type LedgerEntry = Omit<components['schemas']['LedgerEntry'], 'body'> & { body: LedgerBody };
export type FleetEvent = ItemOf<'/v1/events'>;
export type Status = Answer<'/v1/status'>;
export type Series = Answer<'/v1/vms/{id}/series'>;
