/** What a tenant may be called: the name of a file, and of a label's value. Apart from keys, which need machine code to be used. */
export const TENANT_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;
