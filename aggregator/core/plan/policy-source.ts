/** A policy file's text → its checked document, or POLICY_INVALID that names line, column and field of each mistake. */
import { type DocumentSource, documentReader, type PathPart } from '../document/document-source.ts';
import { PolicyDocument } from './policy-schema.ts';

export type { PathPart };
export type PolicySource = DocumentSource<PolicyDocument>;

export const readPolicySource = documentReader({ schema: PolicyDocument, name: 'policy', code: 'POLICY_INVALID', firstLine: 'version: 1' });
