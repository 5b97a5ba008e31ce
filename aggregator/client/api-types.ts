/**
 * The HTTP API's types. Made by scripts/api-types.ts from the OpenAPI document: change the routes' schemas, not this file.
 */
export interface paths {
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process answers */
        get: operations["getHealthz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Ready to decide */
        get: operations["getReadyz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/agent-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Keys agents are known by */
        get: operations["getAgentKeys"];
        put?: never;
        post?: never;
        /** Revoke a key; its connection ends at once */
        delete: operations["deleteAgentKeys"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/agent-keys/rotate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Have an agent make itself a new key, now */
        post: operations["postAgentKeysRotate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/anomalies": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Incidents: what is or was wrong with VMs, newest first */
        get: operations["getAnomalies"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/anomalies/{id}/feedback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Say what an incident was: tunes that VM's detectors */
        post: operations["postAnomaliesIdFeedback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/api-tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** API tokens */
        get: operations["getApiTokens"];
        put?: never;
        /** Make one; the answer is the only time it is shown */
        post: operations["postApiTokens"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/api-tokens/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revoke one, at once */
        delete: operations["deleteApiTokensId"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/audit/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Prove the chain of the ledger */
        get: operations["getAuditVerify"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/capacity": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What each host can be sold beyond what its VMs will want together, the roomiest first */
        get: operations["getCapacity"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/capacity/openstack": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Allocation ratios per compute host, as OpenStack's Placement takes them; advice, nothing is set */
        get: operations["getCapacityOpenstack"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/capacity/proxmox": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Nodes as Proxmox' API lists them, with what their guests will want and what is left to sell */
        get: operations["getCapacityProxmox"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/demand": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the fleet or a group will want together, every five minutes to two days ahead, and what is there for it */
        get: operations["getDemand"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/enrolment-tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Enrolment tokens */
        get: operations["getEnrolmentTokens"];
        put?: never;
        /** A single-use token by which one agent enrols its key; the answer is the only time it is shown */
        post: operations["postEnrolmentTokens"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happens: server-sent events, or the latest with format=json */
        get: operations["getEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/groups": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Groups of VMs: the size each should have, its members, what they will want together */
        get: operations["getGroups"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/groups/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One of them; the ETag is that of its bounds */
        get: operations["getGroupsName"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/groups/{name}/bounds": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Bounds on its size within the policy's, for others that scale it */
        put: operations["putGroupsNameBounds"];
        post?: never;
        /** The policy's bounds again */
        delete: operations["deleteGroupsNameBounds"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/groups/{name}/members/{vm}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Hands a VM made by others over to its group: from then on it may be drained, stopped and started, and is never removed */
        put: operations["putGroupsNameMembersVm"];
        post?: never;
        /** Gives such a VM back, as it is now; 409 for one that Headroom made */
        delete: operations["deleteGroupsNameMembersVm"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/groups/{name}/members/{vm}/drained": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Whoever drains a member says that nothing uses it any more: it need not wait for its deadline */
        post: operations["postGroupsNameMembersVmDrained"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/groups/{name}/members/{vm}/undo": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Takes back a member that drains or is stopped; 409 when it is too late */
        post: operations["postGroupsNameMembersVmUndo"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/hosts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All hosts */
        get: operations["getHosts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/hosts/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One host */
        get: operations["getHostsId"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/kill-switch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where the kill switch is engaged */
        get: operations["getKillSwitch"];
        /** Engage the kill switch: no change any more, what is in force stays */
        put: operations["putKillSwitch"];
        post?: never;
        /** Release the kill switch */
        delete: operations["deleteKillSwitch"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/known-events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Announce a deployment or a load test: it explains itself */
        post: operations["postKnownEvents"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/ledger": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Entries of the hash-chained ledger */
        get: operations["getLedger"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/loans": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What VMs lend each other: open loans first, then those that ended, newest first */
        get: operations["getLoans"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/map": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What stands behind each virtual resource, on which host, and how fresh that is */
        get: operations["getMap"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/plans": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Latest plans, newest first */
        get: operations["getPlans"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/plans/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One plan */
        get: operations["getPlansId"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/policies": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The policy file in force */
        get: operations["getPolicies"];
        /** Take a policy file (YAML or JSON text) into force */
        put: operations["putPolicies"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/policies/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every policy that was in force, newest first */
        get: operations["getPoliciesVersions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/policies/versions/{version}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One of them, with its text */
        get: operations["getPoliciesVersionsVersion"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/recommendations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Changes that wait for somebody to approve */
        get: operations["getRecommendations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/recommendations/{id}/approve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Have it done, as far as it was seen; 409 when the other way round is recommended by now */
        post: operations["postRecommendationsIdApprove"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/reports/savings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What was saved and what it cost, of the last day unless told otherwise; at most 31 days */
        get: operations["getReportsSavings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who the asker is */
        get: operations["getSession"];
        put?: never;
        /** Log in to the console with a token */
        post: operations["postSession"];
        /** Log out */
        delete: operations["deleteSession"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/session/provider": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Sends a browser to the identity provider */
        get: operations["getSessionProvider"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/session/provider/answer": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where the identity provider sends a browser back to */
        get: operations["getSessionProviderAnswer"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/session/ways": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How one can log in to the console */
        get: operations["getSessionWays"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/shortages": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** VMs that find no room on their host now, and what is done about it */
        get: operations["getShortages"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/slas": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The policy's agreements on service, and their attainment */
        get: operations["getSlas"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The aggregator at a glance */
        get: operations["getStatus"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/suspensions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** VMs that are suspended or live on a snapshot */
        get: operations["getSuspensions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/suspensions/collect": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What no VM needs goes from the snapshot stores of one host, or of all */
        post: operations["postSuspensionsCollect"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/suspensions/orders": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Orders to suspend VMs, bring them back or make them ready, with how far each is */
        get: operations["getSuspensionsOrders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/suspensions/stores": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Where hosts keep snapshots: what each place holds, may hold, and how quick it was */
        get: operations["getSuspensionsStores"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/templates": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What VMs of groups are made from, with how long they take to be ready */
        get: operations["getTemplates"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/templates/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One of them, as it was written */
        get: operations["getTemplatesName"];
        /** A new version of a template (YAML or JSON text); VMs that are there stay what they were made from */
        put: operations["putTemplatesName"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/templates/{name}/check": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Asks hosts whether they could make a VM of it now: image, checksum, networks, room; nothing is made */
        post: operations["postTemplatesNameCheck"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/templates/{name}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every version of a template, newest first */
        get: operations["getTemplatesNameVersions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/templates/{name}/versions/{version}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One of them, with its text */
        get: operations["getTemplatesNameVersionsVersion"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All VMs */
        get: operations["getVms"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One VM */
        get: operations["getVmsId"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/credentials": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Have a login made in the VM, sealed to the user's key */
        post: operations["postVmsIdCredentials"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/credentials/{credentialId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A login that was asked for */
        get: operations["getVmsIdCredentialsCredentialId"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Why a VM has what it has */
        get: operations["getVmsIdExplain"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/isolation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Give an isolated VM its network back before its time */
        delete: operations["deleteVmsIdIsolation"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/notifications": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the VM's owner was told */
        get: operations["getVmsIdNotifications"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/prefetch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Fetch what it will touch first, and have it wait, paused */
        put: operations["putVmsIdPrefetch"];
        post?: never;
        /** It need not wait any more */
        delete: operations["deleteVmsIdPrefetch"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Bring it back as it was */
        post: operations["postVmsIdResume"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Give back what the last shrink took; 409 when the last change was none */
        post: operations["postVmsIdRollback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/series": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Usage, demand, allocation and forecast over time */
        get: operations["getVmsIdSeries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/snapshot/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Read every byte of its snapshot */
        post: operations["postVmsIdSnapshotVerify"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vms/{id}/suspend": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Suspend it: memory and devices to its host's snapshot store */
        post: operations["postVmsIdSuspend"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export interface components {
    schemas: {
        Capacity: {
            advice: string;
            host: string;
            moreVms: number | null;
            resources: {
                cpu: {
                    allocationRatio: number | null;
                    capacity: number;
                    confidence: number;
                    demand: number | null;
                    nextDay: {
                        q50: number;
                        q90: number;
                        q99: number;
                    } | null;
                    nextHour: {
                        q50: number;
                        q90: number;
                        q99: number;
                    } | null;
                    /** @description Kept free by policy */
                    reserve: number;
                    /** @description Capacity less reserve less the highest 0.99 quantile of joint demand over the day to come; 0 while too little is known */
                    sellable: number;
                    /** @description Sizes of the VMs that run there, summed */
                    sold: number;
                    /** @enum {unknown} */
                    unit: "cores" | "MiB";
                    /** @description What its VMs usually want together */
                    usual: number;
                };
                memory: {
                    allocationRatio: number | null;
                    capacity: number;
                    confidence: number;
                    demand: number | null;
                    nextDay: {
                        q50: number;
                        q90: number;
                        q99: number;
                    } | null;
                    nextHour: {
                        q50: number;
                        q90: number;
                        q99: number;
                    } | null;
                    /** @description Kept free by policy */
                    reserve: number;
                    /** @description Capacity less reserve less the highest 0.99 quantile of joint demand over the day to come; 0 while too little is known */
                    sellable: number;
                    /** @description Sizes of the VMs that run there, summed */
                    sold: number;
                    /** @enum {unknown} */
                    unit: "cores" | "MiB";
                    /** @description What its VMs usually want together */
                    usual: number;
                };
            };
            /** @enum {unknown} */
            tightest: "cpu" | "memory";
            vms: number;
        };
        Group: {
            bounds: {
                by: string;
                least: number;
                most: number;
            } | null;
            decidedAtMs: number | null;
            demand: {
                horizons: number[];
                now: number | null;
                quantiles: number[];
                /** @enum {unknown} */
                resource: "cpu" | "memory" | "network";
                stepMs: number;
                /** @description [horizons × quantiles], row-major */
                values: number[];
            }[];
            desired: number | null;
            max: number;
            /** @description Of Headroom's making, or handed over to it */
            members: {
                /** @description It never came to serve, or was lost */
                failed: boolean;
                /** @description Made by others and handed over: stopped and started, never removed */
                handed: boolean;
                host: string;
                name: string;
                /** @enum {unknown} */
                phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                reason: string;
                /** @description UTC milliseconds */
                sinceMs: number;
                /** @description Made for the warm pool */
                spare: boolean;
                /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                suspended: boolean;
                /** @description name@version */
                template: string;
                vm: string;
            }[];
            min: number;
            /** @enum {unknown} */
            mode: "off" | "recommend" | "auto";
            name: string;
            notDone: string | null;
            reason: string;
            serving: number;
            template: string;
        };
        Host: {
            ageMs: number | null;
            allocatedCores: number;
            allocatedMiB: number;
            availableMiB: number | null;
            balloonManager: string | null;
            connected: boolean;
            cpuCores: number;
            cpuPressureFraction: number | null;
            epoch: number;
            guardReserve: {
                cores: number;
                memoryMiB: number;
            };
            id: string;
            killSwitch: boolean;
            memoryMiB: number;
            numaNodes: {
                id: number;
                memoryMiB: number;
            }[];
            swapping: boolean;
            usageCores: number | null;
            vms: number;
        };
        Incident: {
            /** @description What was done about it beside telling, or why not */
            actions: {
                /** @enum {unknown} */
                action: "isolate" | "release" | "restart";
                /** @description UTC milliseconds */
                atMs: number;
                /** @description applied, skipped, refused, failed */
                outcome: string;
                reason: string;
            }[];
            /** @description Likely cause, for people */
            cause: string;
            /** @description The strongest first */
            contributors: {
                name: string;
                share: number;
            }[];
            endMs: number | null;
            explainedBy: string | null;
            feedback: ("false alarm" | "expected") | null;
            host: string;
            id: string;
            /** @description spike, level shift, leak, saturation, silence, noisy neighbour, runaway process, stuck, unusual */
            kind: string;
            /** @description 0 to 1, at the peak */
            likelihood: number;
            /** @description UTC milliseconds */
            peakMs: number;
            /** @enum {unknown} */
            severity: "info" | "warning" | "page";
            /** @description UTC milliseconds */
            startMs: number;
            vm: string;
            vmName: string;
            /** @description The host itself saw it; otherwise it rests on the guest's word, and nobody acts on it */
            vouched: boolean;
        };
        LedgerEntry: {
            body: unknown;
            hash: string;
            index: number;
            previousHash: string;
            /** @description UTC milliseconds */
            timeMs: number;
        };
        Loan: {
            /** @description Cores or MiB */
            amount: number;
            /** @description Of it, what was asked for last: lenders give in steps */
            askedAmount: number;
            /** @description UTC milliseconds */
            askedAtMs: number;
            /** @description Why it is in that state */
            because: string;
            borrower: string;
            borrowerName: string;
            host: string;
            id: string;
            lender: string;
            /** @description What it is left with while it lends */
            lenderAfter: number;
            /** @description What the lender had */
            lenderBefore: number;
            lenderName: string;
            /** @description UTC milliseconds */
            openedAtMs: number;
            /** @enum {unknown} */
            resource: "cpu" | "memory";
            /** @enum {unknown} */
            state: "asked" | "lent" | "due" | "repaid" | "void";
            /** @description UTC milliseconds */
            untilMs: number;
        };
        MapRow: {
            ageMs: number | null;
            granted: string | null;
            host: string;
            /** @description What of the host stands behind it; empty = not told */
            physical: string;
            /** @enum {unknown} */
            resource: "cpu" | "memory" | "network" | "disk";
            unit: string;
            used: number | null;
            /** @description As the guest has it */
            virtual: string;
            vm: string;
            vmName: string;
        };
        OpenStackInventory: {
            host: string;
            inventories: {
                MEMORY_MB?: {
                    allocation_ratio: number;
                    reserved: number;
                    total: number;
                };
                VCPU?: {
                    allocation_ratio: number;
                    reserved: number;
                    total: number;
                };
            };
        };
        Plan: {
            grants: {
                allowances: {
                    cpuCeilingCores: number | null;
                    memoryCeilingMiB: number | null;
                    vm: string;
                }[];
                host: string;
                reserveCores: number;
                reserveMiB: number;
            }[];
            id: string;
            inputsDigest: string;
            lint: {
                message: string;
                rule: string;
                step: number | null;
                vcpuStep?: number;
            }[];
            notDone: {
                constraint: string;
                reason: string;
                /** @enum {unknown} */
                resource: "cpu" | "memory" | "network" | "disk";
                vm: string;
                wouldBe: ({
                    capCores: number | null;
                    /** @enum {string} */
                    resource: "cpu";
                    weight: number;
                } | {
                    memoryMiB: number;
                    /** @enum {string} */
                    resource: "memory";
                } | {
                    inboundBytesPerSecond: number | null;
                    outboundBytesPerSecond: number | null;
                    /** @enum {string} */
                    resource: "network";
                } | {
                    bytesPerSecond: number | null;
                    iops: number | null;
                    /** @enum {string} */
                    resource: "disk";
                }) | null;
            }[];
            /** @description UTC milliseconds */
            nowMs: number;
            outcomes: {
                outcome: string;
                reason: string;
                step: number;
            }[];
            steps: {
                ceiling: number;
                constraint: string;
                /** @enum {unknown} */
                direction: "grow" | "shrink";
                /** @description UTC milliseconds */
                expectedByMs?: number;
                floor: number;
                /** @description What the hypervisor enforces; null = no limit */
                from: {
                    capCores: number | null;
                    /** @enum {string} */
                    resource: "cpu";
                    weight: number;
                } | {
                    memoryMiB: number;
                    /** @enum {string} */
                    resource: "memory";
                } | {
                    inboundBytesPerSecond: number | null;
                    outboundBytesPerSecond: number | null;
                    /** @enum {string} */
                    resource: "network";
                } | {
                    bytesPerSecond: number | null;
                    iops: number | null;
                    /** @enum {string} */
                    resource: "disk";
                };
                host: string;
                /** @description The loan for which this shrink makes room */
                loan?: string;
                /** @enum {unknown} */
                mode: "off" | "observe" | "recommend" | "auto";
                model: string;
                predictedDemand: number;
                reason: string;
                /** @enum {unknown} */
                resource: "cpu" | "memory" | "network" | "disk";
                /** @description What the hypervisor enforces; null = no limit */
                to: {
                    capCores: number | null;
                    /** @enum {string} */
                    resource: "cpu";
                    weight: number;
                } | {
                    memoryMiB: number;
                    /** @enum {string} */
                    resource: "memory";
                } | {
                    inboundBytesPerSecond: number | null;
                    outboundBytesPerSecond: number | null;
                    /** @enum {string} */
                    resource: "network";
                } | {
                    bytesPerSecond: number | null;
                    iops: number | null;
                    /** @enum {string} */
                    resource: "disk";
                };
                vm: string;
                vmName: string;
            }[];
            /** @description Of `vcpuSteps`; absent = none yet */
            vcpuOutcomes?: {
                outcome: string;
                reason: string;
                vcpuStep: number;
            }[];
            /** @description Fewer vCPUs online that the policy only recommends; absent = none */
            vcpusRecommended?: {
                /** @description Whose leave it has, where the policy only recommends */
                approvedBy?: string;
                constraint: string;
                /** @description vCPUs online before */
                from: number;
                host: string;
                /** @enum {unknown} */
                mode: "off" | "observe" | "recommend" | "auto";
                /** @description vCPUs of its definition */
                of: number;
                predictedDemand: number;
                reason: string;
                to: number;
                vm: string;
                vmName: string;
            }[];
            /** @description vCPUs that guests take on or offline; absent = none */
            vcpuSteps?: {
                /** @description Whose leave it has, where the policy only recommends */
                approvedBy?: string;
                constraint: string;
                /** @description vCPUs online before */
                from: number;
                host: string;
                /** @enum {unknown} */
                mode: "off" | "observe" | "recommend" | "auto";
                /** @description vCPUs of its definition */
                of: number;
                predictedDemand: number;
                reason: string;
                to: number;
                vm: string;
                vmName: string;
            }[];
            /** @description The same of `vcpuSteps`; absent = none yet */
            vcpuVerdicts?: {
                reason: string;
                vcpuStep: number;
                /** @enum {unknown} */
                verdict: "helped" | "harmed" | "nothing" | "unknown";
            }[];
            /** @description Did it help? On steps that were applied, once their window is over */
            verdicts: {
                reason: string;
                step: number;
                /** @enum {unknown} */
                verdict: "helped" | "harmed" | "nothing" | "unknown";
            }[];
        };
        PolicyVersion: {
            /** @description UTC milliseconds */
            atMs: number;
            by: string;
            /** @description SHA-256 of its canonical text, as the ledger's chain has it */
            digest: string;
            source: string | null;
            version: number;
        };
        Problem: {
            code: string;
            column?: number;
            detail: string;
            field?: string;
            line?: number;
            /** @description Each mistake found in a policy file */
            mistakes?: {
                column: number;
                detail: string;
                field: string | null;
                line: number;
            }[];
            requestId?: string;
            status: number;
            title: string;
            type: string;
        };
        ProxmoxNode: {
            comment: string;
            cpu: number | null;
            id: string;
            maxcpu: number;
            maxmem: number;
            mem: number | null;
            node: string;
            sellablecpu: number;
            sellablemem: number;
            /** @enum {string} */
            type: "node";
        };
        Recommendation: {
            approval: {
                /** @description UTC milliseconds */
                atMs: number;
                by: string;
                to: ({
                    capCores: number | null;
                    /** @enum {string} */
                    resource: "cpu";
                    weight: number;
                } | {
                    memoryMiB: number;
                    /** @enum {string} */
                    resource: "memory";
                } | {
                    inboundBytesPerSecond: number | null;
                    outboundBytesPerSecond: number | null;
                    /** @enum {string} */
                    resource: "network";
                } | {
                    bytesPerSecond: number | null;
                    iops: number | null;
                    /** @enum {string} */
                    resource: "disk";
                }) | {
                    /** @description vCPUs online in the guest */
                    online: number;
                    /** @enum {string} */
                    resource: "vcpus";
                };
                /** @description UTC milliseconds */
                untilMs: number;
            } | null;
            /** @description UTC milliseconds */
            atMs: number;
            /** @enum {unknown} */
            direction: "grow" | "shrink";
            from: ({
                capCores: number | null;
                /** @enum {string} */
                resource: "cpu";
                weight: number;
            } | {
                memoryMiB: number;
                /** @enum {string} */
                resource: "memory";
            } | {
                inboundBytesPerSecond: number | null;
                outboundBytesPerSecond: number | null;
                /** @enum {string} */
                resource: "network";
            } | {
                bytesPerSecond: number | null;
                iops: number | null;
                /** @enum {string} */
                resource: "disk";
            }) | {
                /** @description vCPUs online in the guest */
                online: number;
                /** @enum {string} */
                resource: "vcpus";
            };
            host: string;
            /** @description UUID and resource of the VM */
            id: string;
            planId: string;
            reason: string;
            /**
             * @description vcpus: how many of them the guest has online
             * @enum {unknown}
             */
            resource: "cpu" | "memory" | "network" | "disk" | "vcpus";
            to: ({
                capCores: number | null;
                /** @enum {string} */
                resource: "cpu";
                weight: number;
            } | {
                memoryMiB: number;
                /** @enum {string} */
                resource: "memory";
            } | {
                inboundBytesPerSecond: number | null;
                outboundBytesPerSecond: number | null;
                /** @enum {string} */
                resource: "network";
            } | {
                bytesPerSecond: number | null;
                iops: number | null;
                /** @enum {string} */
                resource: "disk";
            }) | {
                /** @description vCPUs online in the guest */
                online: number;
                /** @enum {string} */
                resource: "vcpus";
            };
            vm: string;
            vmName: string;
        };
        Shortage: {
            /** @description The administrator was told */
            alerted: boolean;
            because: string;
            /** @description Cores or MiB */
            has: number;
            host: string;
            /** @description In the order tried */
            measures: {
                done: boolean;
                /** @enum {unknown} */
                kind: "borrow" | "migrate" | "throttle" | "alert";
                words: string;
            }[];
            missing: number;
            /** @enum {unknown} */
            resource: "cpu" | "memory";
            /** @description UTC milliseconds */
            sinceMs: number;
            vm: string;
            vmName: string;
            wanted: number;
        };
        Sla: {
            attainment: number | null;
            budgetLeft: number | null;
            kept: boolean | null;
            name: string;
            objective: number;
            /** @enum {unknown} */
            resource: "cpu" | "memory" | "network" | "disk";
            sinceMs: number | null;
            /** @description Steps of VMs in which demand and allocation are known */
            steps: number;
            vms: number;
            windowMs: number;
            worst: {
                attainment: number;
                name: string;
                steps: number;
                vm: string;
            }[];
        };
        SnapshotStore: {
            host: string;
            /** @description Of chunks, in the stores opened since its agent began */
            storedBytes: number;
            /** @description Quickest first; none = one place, without a limit */
            tiers: {
                capacityBytes: number | null;
                /**
                 * @description ram: copies of what was read lately; disk: takes what is written; leaving: read and emptied; away: it should be there
                 * @enum {unknown}
                 */
                kind: "ram" | "disk" | "leaving" | "away";
                /** @description The directory, or ram */
                name: string;
                problem: string | null;
                readBytesPerSecond: number | null;
                usedBytes: number;
                writeBytesPerSecond: number | null;
            }[];
        };
        SuspendOrder: {
            /** @enum {unknown} */
            action: "suspend" | "resume" | "prefetch" | "release" | "verify" | "collect" | "lend";
            /** @description More urgent ones on its host that it stands behind */
            ahead: number;
            /** @description UTC milliseconds */
            askedAtMs: number;
            by: string;
            dueAtMs: number | null;
            endedAtMs: number | null;
            followedBy: string | null;
            host: string;
            id: string;
            /** @description Times in ms and bytes, by name */
            measured: {
                [key: string]: number | string;
            };
            outcome: ("applied" | "skipped" | "refused" | "failed" | "superseded") | null;
            placement: {
                host: string;
                /** @description Why not these, best first */
                others: {
                    host: string;
                    reason: string;
                }[];
                reason: string;
            } | null;
            priority: number | null;
            progress: {
                doneBytes: number;
                restMs: number | null;
                totalBytes: number;
            } | null;
            /** @description What stood in the way, or what was done instead and why */
            reason: string;
            /**
             * @description tried: in a dry run; its host would be asked
             * @enum {unknown}
             */
            state: "working" | "ended" | "tried";
            vm: string | null;
            vmName: string | null;
        };
        Suspension: {
            /** @description That its host alone sees: in the snapshot, to be taken (anew), or on its way from another host; absent = none is known */
            disks?: {
                bytes: number;
                /** @description When it came last: share of what was read first that had been fetched before; absent = none was */
                hitRate?: number;
                /** @description Of one that arrives while its VM runs: still to come */
                leftBytes?: number;
                /** @description How long that takes at the pace so far */
                restMs?: number;
                /** @enum {unknown} */
                state: "taken" | "due" | "arriving";
                target: string;
                /** @description The same: share of what was fetched before that was not read */
                wasteRate?: number;
            }[];
            /** @description Of it, what is not zero */
            filledBytes: number;
            /** @description The host its chunks still come from; absent = all are here */
            from?: string;
            hitRate: number | null;
            host: string;
            /** @description The host that may bring it back; absent = this one alone */
            lentTo?: string;
            memoryBytes: number;
            name: string;
            /** @enum {unknown} */
            phase: "suspending" | "ending" | "suspended" | "preparing" | "prepared" | "going" | "running" | "away";
            /** @description Of 64 KiB, fetched before it runs */
            predictedChunks: number;
            prediction: {
                likeliestAtMs: number | null;
                /** @description 0..1, that it is wanted within `withinMs` of now */
                probability: number;
                /** @description It rests on */
                resumes: number;
                text: string;
                withinMs: number;
            } | null;
            /** @description What a verification found, and what it waits for */
            problems: string[];
            /** @description Why by the hypervisor's own saving, else empty */
            reason: string;
            /** @enum {unknown} */
            recipe: "memory-file" | "managed-save";
            /** @description Resumes from which it was learnt what it touches first */
            resumes: number;
            /** @description UTC milliseconds */
            sinceMs: number;
            snapshot: string | null;
            tuning: {
                /** @description So long ahead at most */
                leadMs: number;
                /** @description Of what it will touch first, fetched ahead; 0 = nothing */
                share: number;
                /** @description It rests on */
                suspensions: number;
                text: string;
            } | null;
            vm: string;
            wasteRate: number | null;
        };
        Template: {
            asked: ({
                /** @enum {string} */
                kind: "tcp";
                port: number;
                timeoutMs: number;
            } | {
                /** @enum {string} */
                kind: "http";
                path: string;
                port: number;
                status: number;
                timeoutMs: number;
            }) | null;
            /** @description UTC milliseconds */
            atMs: number;
            boots: {
                /** @description Remembered, at most 40 */
                boots: number;
                host: string;
                lastMs: number;
                /** @description From the order to ready */
                p95Ms: number;
            }[];
            by: string;
            description: string;
            /** @description SHA-256 of the canonical text, as in the ledger's chain */
            digest: string;
            image: string;
            memoryMiB: number;
            name: string;
            pool: string;
            /** @enum {unknown} */
            probe: "guest-agent" | "application" | "booted" | "tcp" | "http";
            readyWithinMs: number;
            software: string[];
            vcpus: number;
            version: number;
            warmPool: number;
        };
        TemplateCheck: {
            host: string;
            ok: boolean;
            /** @description What the host lacks; empty: nothing */
            reason: string;
        };
        TemplateVersion: {
            /** @description UTC milliseconds */
            atMs: number;
            by: string;
            /** @description SHA-256 of the canonical text, as in the ledger's chain */
            digest: string;
            name: string;
            version: number;
        };
        Vm: {
            contention: {
                parts: {
                    cpuWait: number | null;
                    ioPressure: number | null;
                    memoryPressure: number | null;
                    steal: number | null;
                    swap: number | null;
                };
                score: number;
            } | null;
            guestAgent: boolean;
            host: string;
            id: string;
            labels: {
                [key: string]: string;
            };
            missingSignals: string[];
            name: string;
            resources: {
                cpu: {
                    ageMs: number | null;
                    allocation: number | null;
                    baseline: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    ceiling: number | null;
                    coolUntilMs: number | null;
                    demand: number | null;
                    eligible: {
                        /** @enum {boolean} */
                        allowed: true;
                    } | {
                        /** @enum {boolean} */
                        allowed: false;
                        reason: string;
                    };
                    floor: number | null;
                    forecast: {
                        /** @description 0..1 */
                        confidence: number;
                        explanation: string;
                        /** @description Start of the step that horizon 1 covers, UTC ms */
                        fromMs: number;
                        horizons: number[];
                        model: string;
                        quantiles: number[];
                        stepMs: number;
                        /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                        values: number[];
                    } | null;
                    /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                    hints?: {
                        amount: number;
                        countsTo: number | null;
                        /** @description UTC milliseconds */
                        fromMs: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    }[];
                    holds: {
                        forMs: number | null;
                        reason: string;
                    }[];
                    infeasible: {
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        reason: string;
                        target: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    } | null;
                    lastDecision: {
                        /** @description UTC milliseconds */
                        atMs: number;
                        constraint: string;
                        done: boolean;
                        outcome: string | null;
                        planId: string;
                        reason: string;
                    } | null;
                    lastVerdict: {
                        /** @description UTC milliseconds */
                        changedAtMs: number;
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        /** @description UTC milliseconds */
                        judgedAtMs: number;
                        planId: string | null;
                        reason: string;
                        /** @enum {unknown} */
                        verdict: "helped" | "harmed" | "nothing" | "unknown";
                    } | null;
                    /** @enum {unknown} */
                    mode: "off" | "observe" | "recommend" | "auto";
                    /** @description The policy rule that gave the mode */
                    rule: string;
                    setting: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    /** @description Demand was held down by the allocation */
                    suppressed: boolean;
                    uncapped: boolean;
                    /** @enum {unknown} */
                    unit: "cores" | "MiB" | "bytes/s";
                    usage: number | null;
                };
                disk: {
                    ageMs: number | null;
                    allocation: number | null;
                    baseline: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    ceiling: number | null;
                    coolUntilMs: number | null;
                    demand: number | null;
                    eligible: {
                        /** @enum {boolean} */
                        allowed: true;
                    } | {
                        /** @enum {boolean} */
                        allowed: false;
                        reason: string;
                    };
                    floor: number | null;
                    forecast: {
                        /** @description 0..1 */
                        confidence: number;
                        explanation: string;
                        /** @description Start of the step that horizon 1 covers, UTC ms */
                        fromMs: number;
                        horizons: number[];
                        model: string;
                        quantiles: number[];
                        stepMs: number;
                        /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                        values: number[];
                    } | null;
                    /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                    hints?: {
                        amount: number;
                        countsTo: number | null;
                        /** @description UTC milliseconds */
                        fromMs: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    }[];
                    holds: {
                        forMs: number | null;
                        reason: string;
                    }[];
                    infeasible: {
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        reason: string;
                        target: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    } | null;
                    lastDecision: {
                        /** @description UTC milliseconds */
                        atMs: number;
                        constraint: string;
                        done: boolean;
                        outcome: string | null;
                        planId: string;
                        reason: string;
                    } | null;
                    lastVerdict: {
                        /** @description UTC milliseconds */
                        changedAtMs: number;
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        /** @description UTC milliseconds */
                        judgedAtMs: number;
                        planId: string | null;
                        reason: string;
                        /** @enum {unknown} */
                        verdict: "helped" | "harmed" | "nothing" | "unknown";
                    } | null;
                    /** @enum {unknown} */
                    mode: "off" | "observe" | "recommend" | "auto";
                    /** @description The policy rule that gave the mode */
                    rule: string;
                    setting: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    /** @description Demand was held down by the allocation */
                    suppressed: boolean;
                    uncapped: boolean;
                    /** @enum {unknown} */
                    unit: "cores" | "MiB" | "bytes/s";
                    usage: number | null;
                };
                memory: {
                    ageMs: number | null;
                    allocation: number | null;
                    baseline: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    ceiling: number | null;
                    coolUntilMs: number | null;
                    demand: number | null;
                    eligible: {
                        /** @enum {boolean} */
                        allowed: true;
                    } | {
                        /** @enum {boolean} */
                        allowed: false;
                        reason: string;
                    };
                    floor: number | null;
                    forecast: {
                        /** @description 0..1 */
                        confidence: number;
                        explanation: string;
                        /** @description Start of the step that horizon 1 covers, UTC ms */
                        fromMs: number;
                        horizons: number[];
                        model: string;
                        quantiles: number[];
                        stepMs: number;
                        /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                        values: number[];
                    } | null;
                    /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                    hints?: {
                        amount: number;
                        countsTo: number | null;
                        /** @description UTC milliseconds */
                        fromMs: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    }[];
                    holds: {
                        forMs: number | null;
                        reason: string;
                    }[];
                    infeasible: {
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        reason: string;
                        target: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    } | null;
                    lastDecision: {
                        /** @description UTC milliseconds */
                        atMs: number;
                        constraint: string;
                        done: boolean;
                        outcome: string | null;
                        planId: string;
                        reason: string;
                    } | null;
                    lastVerdict: {
                        /** @description UTC milliseconds */
                        changedAtMs: number;
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        /** @description UTC milliseconds */
                        judgedAtMs: number;
                        planId: string | null;
                        reason: string;
                        /** @enum {unknown} */
                        verdict: "helped" | "harmed" | "nothing" | "unknown";
                    } | null;
                    /** @enum {unknown} */
                    mode: "off" | "observe" | "recommend" | "auto";
                    /** @description The policy rule that gave the mode */
                    rule: string;
                    setting: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    /** @description Demand was held down by the allocation */
                    suppressed: boolean;
                    uncapped: boolean;
                    /** @enum {unknown} */
                    unit: "cores" | "MiB" | "bytes/s";
                    usage: number | null;
                };
                network: {
                    ageMs: number | null;
                    allocation: number | null;
                    baseline: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    ceiling: number | null;
                    coolUntilMs: number | null;
                    demand: number | null;
                    eligible: {
                        /** @enum {boolean} */
                        allowed: true;
                    } | {
                        /** @enum {boolean} */
                        allowed: false;
                        reason: string;
                    };
                    floor: number | null;
                    forecast: {
                        /** @description 0..1 */
                        confidence: number;
                        explanation: string;
                        /** @description Start of the step that horizon 1 covers, UTC ms */
                        fromMs: number;
                        horizons: number[];
                        model: string;
                        quantiles: number[];
                        stepMs: number;
                        /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                        values: number[];
                    } | null;
                    /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                    hints?: {
                        amount: number;
                        countsTo: number | null;
                        /** @description UTC milliseconds */
                        fromMs: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    }[];
                    holds: {
                        forMs: number | null;
                        reason: string;
                    }[];
                    infeasible: {
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        reason: string;
                        target: number;
                        /** @description UTC milliseconds */
                        untilMs: number;
                    } | null;
                    lastDecision: {
                        /** @description UTC milliseconds */
                        atMs: number;
                        constraint: string;
                        done: boolean;
                        outcome: string | null;
                        planId: string;
                        reason: string;
                    } | null;
                    lastVerdict: {
                        /** @description UTC milliseconds */
                        changedAtMs: number;
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        /** @description UTC milliseconds */
                        judgedAtMs: number;
                        planId: string | null;
                        reason: string;
                        /** @enum {unknown} */
                        verdict: "helped" | "harmed" | "nothing" | "unknown";
                    } | null;
                    /** @enum {unknown} */
                    mode: "off" | "observe" | "recommend" | "auto";
                    /** @description The policy rule that gave the mode */
                    rule: string;
                    setting: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | null;
                    /** @description Demand was held down by the allocation */
                    suppressed: boolean;
                    uncapped: boolean;
                    /** @enum {unknown} */
                    unit: "cores" | "MiB" | "bytes/s";
                    usage: number | null;
                };
            };
            /** @enum {unknown} */
            state: "launching" | "ready" | "paused" | "stopped" | "error" | "unknown";
            vcpus?: {
                /** @description None is taken offline before then: the last time did harm */
                coolUntilMs?: number;
                /** @description Of its definition */
                defined: number;
                /** @description So few were tried and not reached: no fewer are tried until then */
                infeasible?: {
                    reason: string;
                    target: number;
                    /** @description UTC milliseconds */
                    untilMs: number;
                };
                lastChange: {
                    /** @description UTC milliseconds */
                    atMs: number;
                    reason: string;
                } | null;
                /** @description What became of the last change of their number that was judged; absent = none was */
                lastVerdict?: {
                    /** @description UTC milliseconds */
                    changedAtMs: number;
                    /** @enum {unknown} */
                    direction: "grow" | "shrink";
                    from: number;
                    /** @description UTC milliseconds */
                    judgedAtMs: number;
                    planId: string | null;
                    reason: string;
                    to: number;
                    /** @enum {unknown} */
                    verdict: "helped" | "harmed" | "nothing" | "unknown";
                };
                online: number | null;
            };
            /** @description Which kind of work the VM does, from its name and labels, its processes, and how it uses what it has */
            workload: {
                class: ("web" | "database" | "application" | "batch" | "idle" | "desktop") | null;
                /** @description 1 = set by hand, 0 = nothing tells */
                confidence: number;
                /** @description What it rests on, most telling first */
                reasons: string[];
                /** @description The label "class" of the VM says so */
                setByHand: boolean;
            };
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export interface operations {
    getHealthz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {string} */
                        status: "ok";
                        version: string;
                    };
                };
            };
        };
    };
    getReadyz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Ready */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ready: boolean;
                        reason: string;
                    };
                };
            };
            /** @description Not ready, and why */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ready: boolean;
                        reason: string;
                    };
                };
            };
        };
    };
    getAgentKeys: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            /** @description host/NAME or guest/UUID */
                            agent: string;
                            keyId: string;
                            publicKey: string;
                            revokedAtMs: number | null;
                            /** @description It is replaced at the next connection */
                            rotate: boolean;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                        }[];
                    };
                };
            };
        };
    };
    deleteAgentKeys: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    host?: string;
                    reason: string;
                    vm?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description host/NAME or guest/UUID */
                        agent: string;
                        keyId: string;
                        publicKey: string;
                        revokedAtMs: number | null;
                        /** @description It is replaced at the next connection */
                        rotate: boolean;
                        /** @description UTC milliseconds */
                        sinceMs: number;
                    };
                };
            };
        };
    };
    postAgentKeysRotate: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    host?: string;
                    vm?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description host/NAME or guest/UUID */
                        agent: string;
                        keyId: string;
                        publicKey: string;
                        revokedAtMs: number | null;
                        /** @description It is replaced at the next connection */
                        rotate: boolean;
                        /** @description UTC milliseconds */
                        sinceMs: number;
                    };
                };
            };
        };
    };
    getAnomalies: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: string;
                limit?: number;
                /** @description Only what goes on */
                open?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: string | null;
                        items: components["schemas"]["Incident"][];
                    };
                };
            };
        };
    };
    postAnomaliesIdFeedback: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /**
                     * @description false alarm: it takes more from now on; expected: so again at this time of day
                     * @enum {unknown}
                     */
                    feedback: "false alarm" | "expected";
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description What was done about it beside telling, or why not */
                        actions: {
                            /** @enum {unknown} */
                            action: "isolate" | "release" | "restart";
                            /** @description UTC milliseconds */
                            atMs: number;
                            /** @description applied, skipped, refused, failed */
                            outcome: string;
                            reason: string;
                        }[];
                        /** @description Likely cause, for people */
                        cause: string;
                        /** @description The strongest first */
                        contributors: {
                            name: string;
                            share: number;
                        }[];
                        endMs: number | null;
                        explainedBy: string | null;
                        feedback: ("false alarm" | "expected") | null;
                        host: string;
                        id: string;
                        /** @description spike, level shift, leak, saturation, silence, noisy neighbour, runaway process, stuck, unusual */
                        kind: string;
                        /** @description 0 to 1, at the peak */
                        likelihood: number;
                        /** @description UTC milliseconds */
                        peakMs: number;
                        /** @enum {unknown} */
                        severity: "info" | "warning" | "page";
                        /** @description UTC milliseconds */
                        startMs: number;
                        vm: string;
                        vmName: string;
                        /** @description The host itself saw it; otherwise it rests on the guest's word, and nobody acts on it */
                        vouched: boolean;
                    };
                };
            };
        };
    };
    getApiTokens: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            by: string;
                            expiresAtMs: number | null;
                            id: string;
                            labels: {
                                [key: string]: string;
                            };
                            /** @description UTC milliseconds */
                            madeAtMs: number;
                            name: string;
                            /** @enum {unknown} */
                            role: "viewer" | "operator" | "administrator";
                            tenant: string | null;
                        }[];
                    };
                };
            };
        };
    };
    postApiTokens: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    labels?: {
                        [key: string]: string;
                    };
                    name: string;
                    /** @enum {unknown} */
                    role: "viewer" | "operator" | "administrator";
                    tenant?: string;
                    /** @description default: 90 days */
                    validSeconds?: number;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        by: string;
                        expiresAtMs: number | null;
                        id: string;
                        labels: {
                            [key: string]: string;
                        };
                        /** @description UTC milliseconds */
                        madeAtMs: number;
                        name: string;
                        /** @enum {unknown} */
                        role: "viewer" | "operator" | "administrator";
                        tenant: string | null;
                        token: string | null;
                    };
                };
            };
        };
    };
    deleteApiTokensId: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path: {
                /** @description Id or name */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        by: string;
                        expiresAtMs: number | null;
                        id: string;
                        labels: {
                            [key: string]: string;
                        };
                        /** @description UTC milliseconds */
                        madeAtMs: number;
                        name: string;
                        /** @enum {unknown} */
                        role: "viewer" | "operator" | "administrator";
                        tenant: string | null;
                    };
                };
            };
        };
    };
    getAuditVerify: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        entries: number;
                        head: string;
                        /** @enum {boolean} */
                        ok: true;
                    } | {
                        index: number;
                        /** @enum {boolean} */
                        ok: false;
                        problem: string;
                    };
                };
            };
        };
    };
    getCapacity: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Capacity"][];
                    };
                };
            };
        };
    };
    getCapacityOpenstack: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["OpenStackInventory"][];
                    };
                };
            };
        };
    };
    getCapacityProxmox: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        data: components["schemas"]["ProxmoxNode"][];
                    };
                };
            };
        };
    };
    getDemand: {
        parameters: {
            query?: {
                /** @description this group; the fleet where absent */
                group?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        group: string | null;
                        resources: {
                            aheadMs: number[];
                            available: number | null;
                            now: number | null;
                            quantiles: number[];
                            /**
                             * @description gpu: only where guests tell of theirs, busy devices
                             * @enum {unknown}
                             */
                            resource: "cpu" | "memory" | "network" | "gpu";
                            soon: number | null;
                            /** @enum {unknown} */
                            unit: "cores" | "MiB" | "bytes/s" | "devices";
                            /** @description [aheadMs × quantiles], row-major; empty = nothing is known yet */
                            values: number[];
                        }[];
                    };
                };
            };
        };
    };
    getEnrolmentTokens: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            agent: string;
                            by: string;
                            /** @description UTC milliseconds */
                            expiresAtMs: number;
                            id: string;
                            usedAtMs: number | null;
                        }[];
                    };
                };
            };
        };
    };
    postEnrolmentTokens: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    host?: string;
                    validSeconds?: number;
                    vm?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        expiresAtMs: number;
                        id: string;
                        token: string | null;
                    };
                };
            };
        };
    };
    getEvents: {
        parameters: {
            query?: {
                format?: "sse" | "json";
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description A stream, or with format=json a list, oldest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            data: {
                                [key: string]: unknown;
                            };
                            host: string | null;
                            id: number;
                            /** @enum {unknown} */
                            kind: "plan" | "outcome" | "agent" | "notification" | "vm-state" | "policy" | "operator";
                            message: string;
                            /** @description UTC milliseconds */
                            timeMs: number;
                            vm: string | null;
                        }[];
                    };
                    "text/event-stream": string;
                };
            };
        };
    };
    getGroups: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Group"][];
                    };
                };
            };
        };
    };
    getGroupsName: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    putGroupsNameBounds: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description the ETag of what was looked at; 412 when it is another by now, `*`: whatever it is */
                "if-match"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    max: number;
                    min: number;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    deleteGroupsNameBounds: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description the ETag of what was looked at; 412 when it is another by now, `*`: whatever it is */
                "if-match"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    putGroupsNameMembersVm: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path: {
                name: string;
                vm: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    deleteGroupsNameMembersVm: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path: {
                name: string;
                vm: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    postGroupsNameMembersVmDrained: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                name: string;
                vm: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    postGroupsNameMembersVmUndo: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                name: string;
                vm: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        bounds: {
                            by: string;
                            least: number;
                            most: number;
                        } | null;
                        decidedAtMs: number | null;
                        demand: {
                            horizons: number[];
                            now: number | null;
                            quantiles: number[];
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network";
                            stepMs: number;
                            /** @description [horizons × quantiles], row-major */
                            values: number[];
                        }[];
                        desired: number | null;
                        max: number;
                        /** @description Of Headroom's making, or handed over to it */
                        members: {
                            /** @description It never came to serve, or was lost */
                            failed: boolean;
                            /** @description Made by others and handed over: stopped and started, never removed */
                            handed: boolean;
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            phase: "building" | "booting" | "serving" | "draining" | "stopping" | "stopped" | "removing";
                            reason: string;
                            /** @description UTC milliseconds */
                            sinceMs: number;
                            /** @description Made for the warm pool */
                            spare: boolean;
                            /** @description Kept suspended by the warm pool: it is brought back instead of booted */
                            suspended: boolean;
                            /** @description name@version */
                            template: string;
                            vm: string;
                        }[];
                        min: number;
                        /** @enum {unknown} */
                        mode: "off" | "recommend" | "auto";
                        name: string;
                        notDone: string | null;
                        reason: string;
                        serving: number;
                        template: string;
                    };
                };
            };
        };
    };
    getHosts: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: string;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: string | null;
                        items: components["schemas"]["Host"][];
                    };
                };
            };
        };
    };
    getHostsId: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ageMs: number | null;
                        allocatedCores: number;
                        allocatedMiB: number;
                        availableMiB: number | null;
                        balloonManager: string | null;
                        connected: boolean;
                        cpuCores: number;
                        cpuPressureFraction: number | null;
                        epoch: number;
                        guardReserve: {
                            cores: number;
                            memoryMiB: number;
                        };
                        id: string;
                        killSwitch: boolean;
                        memoryMiB: number;
                        numaNodes: {
                            id: number;
                            memoryMiB: number;
                        }[];
                        swapping: boolean;
                        usageCores: number | null;
                        vms: number;
                    };
                };
            };
        };
    };
    getKillSwitch: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        fleet: boolean;
                        /** @description Hosts whose agent says that its switch is engaged */
                        hosts: string[];
                        /** @description VMs whose own switch is, as their host says */
                        vms: {
                            id: string;
                            name: string;
                        }[];
                    };
                };
            };
        };
    };
    putKillSwitch: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description the ETag of what was looked at; 412 when it is another by now, `*`: whatever it is */
                "if-match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description Neither host nor vm: the whole fleet */
        requestBody: {
            content: {
                "application/json": {
                    host?: string;
                    reason: string;
                    vm?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        dryRun: boolean;
                        engaged: boolean;
                        scope: string;
                    };
                };
            };
        };
    };
    deleteKillSwitch: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description the ETag of what was looked at; 412 when it is another by now, `*`: whatever it is */
                "if-match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description Neither host nor vm: the whole fleet */
        requestBody: {
            content: {
                "application/json": {
                    host?: string;
                    reason: string;
                    vm?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        dryRun: boolean;
                        engaged: boolean;
                        scope: string;
                    };
                };
            };
        };
    };
    postKnownEvents: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Absent: now */
                    fromMs?: number;
                    /** @description UTC ms */
                    toMs: number;
                    /** @description Name or UUID; absent: every VM */
                    vm?: string;
                    why: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        fromMs: number;
                        /** @description UTC milliseconds */
                        toMs: number;
                        vm: string | null;
                        why: string;
                    };
                };
            };
        };
    };
    getLedger: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: number;
                kind?: "start" | "plan" | "outcome" | "verdict" | "event" | "loan" | "policy" | "template" | "spawn" | "operator" | "security";
                limit?: number;
                newestFirst?: boolean;
                vm?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: number | null;
                        items: components["schemas"]["LedgerEntry"][];
                    };
                };
            };
        };
    };
    getLoans: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Only what is not paid back yet */
                open?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Loan"][];
                    };
                };
            };
        };
    };
    getMap: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: string;
                limit?: number;
                /** @description UUID, or the name where it is unique */
                vm?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: string | null;
                        items: components["schemas"]["MapRow"][];
                    };
                };
            };
        };
    };
    getPlans: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: string;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: string | null;
                        items: components["schemas"]["Plan"][];
                    };
                };
            };
        };
    };
    getPlansId: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        grants: {
                            allowances: {
                                cpuCeilingCores: number | null;
                                memoryCeilingMiB: number | null;
                                vm: string;
                            }[];
                            host: string;
                            reserveCores: number;
                            reserveMiB: number;
                        }[];
                        id: string;
                        inputsDigest: string;
                        lint: {
                            message: string;
                            rule: string;
                            step: number | null;
                            vcpuStep?: number;
                        }[];
                        notDone: {
                            constraint: string;
                            reason: string;
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network" | "disk";
                            vm: string;
                            wouldBe: ({
                                capCores: number | null;
                                /** @enum {string} */
                                resource: "cpu";
                                weight: number;
                            } | {
                                memoryMiB: number;
                                /** @enum {string} */
                                resource: "memory";
                            } | {
                                inboundBytesPerSecond: number | null;
                                outboundBytesPerSecond: number | null;
                                /** @enum {string} */
                                resource: "network";
                            } | {
                                bytesPerSecond: number | null;
                                iops: number | null;
                                /** @enum {string} */
                                resource: "disk";
                            }) | null;
                        }[];
                        /** @description UTC milliseconds */
                        nowMs: number;
                        outcomes: {
                            outcome: string;
                            reason: string;
                            step: number;
                        }[];
                        steps: {
                            ceiling: number;
                            constraint: string;
                            /** @enum {unknown} */
                            direction: "grow" | "shrink";
                            /** @description UTC milliseconds */
                            expectedByMs?: number;
                            floor: number;
                            /** @description What the hypervisor enforces; null = no limit */
                            from: {
                                capCores: number | null;
                                /** @enum {string} */
                                resource: "cpu";
                                weight: number;
                            } | {
                                memoryMiB: number;
                                /** @enum {string} */
                                resource: "memory";
                            } | {
                                inboundBytesPerSecond: number | null;
                                outboundBytesPerSecond: number | null;
                                /** @enum {string} */
                                resource: "network";
                            } | {
                                bytesPerSecond: number | null;
                                iops: number | null;
                                /** @enum {string} */
                                resource: "disk";
                            };
                            host: string;
                            /** @description The loan for which this shrink makes room */
                            loan?: string;
                            /** @enum {unknown} */
                            mode: "off" | "observe" | "recommend" | "auto";
                            model: string;
                            predictedDemand: number;
                            reason: string;
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network" | "disk";
                            /** @description What the hypervisor enforces; null = no limit */
                            to: {
                                capCores: number | null;
                                /** @enum {string} */
                                resource: "cpu";
                                weight: number;
                            } | {
                                memoryMiB: number;
                                /** @enum {string} */
                                resource: "memory";
                            } | {
                                inboundBytesPerSecond: number | null;
                                outboundBytesPerSecond: number | null;
                                /** @enum {string} */
                                resource: "network";
                            } | {
                                bytesPerSecond: number | null;
                                iops: number | null;
                                /** @enum {string} */
                                resource: "disk";
                            };
                            vm: string;
                            vmName: string;
                        }[];
                        /** @description Of `vcpuSteps`; absent = none yet */
                        vcpuOutcomes?: {
                            outcome: string;
                            reason: string;
                            vcpuStep: number;
                        }[];
                        /** @description Fewer vCPUs online that the policy only recommends; absent = none */
                        vcpusRecommended?: {
                            /** @description Whose leave it has, where the policy only recommends */
                            approvedBy?: string;
                            constraint: string;
                            /** @description vCPUs online before */
                            from: number;
                            host: string;
                            /** @enum {unknown} */
                            mode: "off" | "observe" | "recommend" | "auto";
                            /** @description vCPUs of its definition */
                            of: number;
                            predictedDemand: number;
                            reason: string;
                            to: number;
                            vm: string;
                            vmName: string;
                        }[];
                        /** @description vCPUs that guests take on or offline; absent = none */
                        vcpuSteps?: {
                            /** @description Whose leave it has, where the policy only recommends */
                            approvedBy?: string;
                            constraint: string;
                            /** @description vCPUs online before */
                            from: number;
                            host: string;
                            /** @enum {unknown} */
                            mode: "off" | "observe" | "recommend" | "auto";
                            /** @description vCPUs of its definition */
                            of: number;
                            predictedDemand: number;
                            reason: string;
                            to: number;
                            vm: string;
                            vmName: string;
                        }[];
                        /** @description The same of `vcpuSteps`; absent = none yet */
                        vcpuVerdicts?: {
                            reason: string;
                            vcpuStep: number;
                            /** @enum {unknown} */
                            verdict: "helped" | "harmed" | "nothing" | "unknown";
                        }[];
                        /** @description Did it help? On steps that were applied, once their window is over */
                        verdicts: {
                            reason: string;
                            step: number;
                            /** @enum {unknown} */
                            verdict: "helped" | "harmed" | "nothing" | "unknown";
                        }[];
                    };
                };
            };
        };
    };
    getPolicies: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        parsed: unknown;
                        source: string;
                        version: number;
                    };
                };
            };
        };
    };
    putPolicies: {
        parameters: {
            query?: {
                /** @description only tell what would change */
                dryRun?: boolean;
            };
            header?: {
                /** @description the ETag of the policy that was looked at; 412 when another is in force by now */
                "if-match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/yaml": string;
                "text/plain": string;
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description For people */
                        changes: string[];
                        dryRun: boolean;
                        nextPlan: {
                            notDone: {
                                [key: string]: number;
                            };
                            steps: {
                                ceiling: number;
                                constraint: string;
                                /** @enum {unknown} */
                                direction: "grow" | "shrink";
                                /** @description UTC milliseconds */
                                expectedByMs?: number;
                                floor: number;
                                /** @description What the hypervisor enforces; null = no limit */
                                from: {
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                };
                                host: string;
                                /** @description The loan for which this shrink makes room */
                                loan?: string;
                                /** @enum {unknown} */
                                mode: "off" | "observe" | "recommend" | "auto";
                                model: string;
                                predictedDemand: number;
                                reason: string;
                                /** @enum {unknown} */
                                resource: "cpu" | "memory" | "network" | "disk";
                                /** @description What the hypervisor enforces; null = no limit */
                                to: {
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                };
                                vm: string;
                                vmName: string;
                            }[];
                            stepsAll: number;
                        } | null;
                        /** @description In force now */
                        version: number;
                        /** @description At most 1000 */
                        vms: {
                            /** @description Mode, floor and ceiling as they will bind this VM, then the rest */
                            fields: {
                                after: unknown;
                                before: unknown;
                                field: string;
                            }[];
                            host: string;
                            name: string;
                            /** @enum {unknown} */
                            resource: "cpu" | "memory" | "network" | "disk";
                            vm: string;
                        }[];
                    };
                };
            };
        };
    };
    getPoliciesVersions: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: number;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: number | null;
                        items: components["schemas"]["PolicyVersion"][];
                    };
                };
            };
        };
    };
    getPoliciesVersionsVersion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                version: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        atMs: number;
                        by: string;
                        /** @description SHA-256 of its canonical text, as the ledger's chain has it */
                        digest: string;
                        source: string | null;
                        version: number;
                    };
                };
            };
        };
    };
    getRecommendations: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: string;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: string | null;
                        items: components["schemas"]["Recommendation"][];
                    };
                };
            };
        };
    };
    postRecommendationsIdApprove: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        /** @description As far as this, as it was seen; absent: as recommended now */
        requestBody: {
            content: {
                "application/json": {
                    to?: ({
                        capCores: number | null;
                        /** @enum {string} */
                        resource: "cpu";
                        weight: number;
                    } | {
                        memoryMiB: number;
                        /** @enum {string} */
                        resource: "memory";
                    } | {
                        inboundBytesPerSecond: number | null;
                        outboundBytesPerSecond: number | null;
                        /** @enum {string} */
                        resource: "network";
                    } | {
                        bytesPerSecond: number | null;
                        iops: number | null;
                        /** @enum {string} */
                        resource: "disk";
                    }) | {
                        /** @description vCPUs online in the guest */
                        online: number;
                        /** @enum {string} */
                        resource: "vcpus";
                    };
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        approval: {
                            /** @description UTC milliseconds */
                            atMs: number;
                            by: string;
                            to: ({
                                capCores: number | null;
                                /** @enum {string} */
                                resource: "cpu";
                                weight: number;
                            } | {
                                memoryMiB: number;
                                /** @enum {string} */
                                resource: "memory";
                            } | {
                                inboundBytesPerSecond: number | null;
                                outboundBytesPerSecond: number | null;
                                /** @enum {string} */
                                resource: "network";
                            } | {
                                bytesPerSecond: number | null;
                                iops: number | null;
                                /** @enum {string} */
                                resource: "disk";
                            }) | {
                                /** @description vCPUs online in the guest */
                                online: number;
                                /** @enum {string} */
                                resource: "vcpus";
                            };
                            /** @description UTC milliseconds */
                            untilMs: number;
                        } | null;
                        /** @description UTC milliseconds */
                        atMs: number;
                        /** @enum {unknown} */
                        direction: "grow" | "shrink";
                        from: ({
                            capCores: number | null;
                            /** @enum {string} */
                            resource: "cpu";
                            weight: number;
                        } | {
                            memoryMiB: number;
                            /** @enum {string} */
                            resource: "memory";
                        } | {
                            inboundBytesPerSecond: number | null;
                            outboundBytesPerSecond: number | null;
                            /** @enum {string} */
                            resource: "network";
                        } | {
                            bytesPerSecond: number | null;
                            iops: number | null;
                            /** @enum {string} */
                            resource: "disk";
                        }) | {
                            /** @description vCPUs online in the guest */
                            online: number;
                            /** @enum {string} */
                            resource: "vcpus";
                        };
                        host: string;
                        /** @description UUID and resource of the VM */
                        id: string;
                        planId: string;
                        reason: string;
                        /**
                         * @description vcpus: how many of them the guest has online
                         * @enum {unknown}
                         */
                        resource: "cpu" | "memory" | "network" | "disk" | "vcpus";
                        to: ({
                            capCores: number | null;
                            /** @enum {string} */
                            resource: "cpu";
                            weight: number;
                        } | {
                            memoryMiB: number;
                            /** @enum {string} */
                            resource: "memory";
                        } | {
                            inboundBytesPerSecond: number | null;
                            outboundBytesPerSecond: number | null;
                            /** @enum {string} */
                            resource: "network";
                        } | {
                            bytesPerSecond: number | null;
                            iops: number | null;
                            /** @enum {string} */
                            resource: "disk";
                        }) | {
                            /** @description vCPUs online in the guest */
                            online: number;
                            /** @enum {string} */
                            resource: "vcpus";
                        };
                        vm: string;
                        vmName: string;
                    };
                };
            };
        };
    };
    getReportsSavings: {
        parameters: {
            query?: {
                /** @description UTC milliseconds */
                fromMs?: number;
                /** @description UTC milliseconds */
                toMs?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        fromMs: number;
                        /** @description Changes judged harmful, of the plans remembered */
                        harmfulChanges: number;
                        items: {
                            granted: number | null;
                            heldSeconds: number | null;
                            host: string;
                            /** @description Grant and demand are both known */
                            knownHours: number;
                            /** @enum {unknown} */
                            mode: "off" | "observe" | "recommend" | "auto";
                            /** @enum {unknown} */
                            resource: "cpu" | "memory";
                            savedUnitHours: number;
                            /** @description Of them, with demand above the grant */
                            shortHours: number;
                            size: number;
                            /** @enum {unknown} */
                            unit: "cores" | "MiB";
                            vm: string;
                            vmName: string;
                        }[];
                        memoryStalledSeconds: number | null;
                        /** @description Size less grant, over the time in which the grant is known */
                        savedCoreHours: number;
                        savedMiBHours: number;
                        shortShare: {
                            cpu: number | null;
                            memory: number | null;
                        };
                        throttledSeconds: number | null;
                        /** @description UTC milliseconds */
                        toMs: number;
                    };
                };
            };
        };
    };
    getSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description Sees everything; else only VMs of the tenant and labels */
                        fleetWide: boolean;
                        labels: {
                            [key: string]: string;
                        };
                        name: string;
                        /** @description Nobody needs to show who they are here */
                        open: boolean;
                        /** @enum {unknown} */
                        role: "viewer" | "operator" | "administrator";
                        tenant: string | null;
                    };
                };
            };
        };
    };
    postSession: {
        parameters: {
            query?: never;
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    token: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description Sees everything; else only VMs of the tenant and labels */
                        fleetWide: boolean;
                        labels: {
                            [key: string]: string;
                        };
                        name: string;
                        /** @description Nobody needs to show who they are here */
                        open: boolean;
                        /** @enum {unknown} */
                        role: "viewer" | "operator" | "administrator";
                        tenant: string | null;
                    };
                };
            };
        };
    };
    deleteSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        ended: boolean;
                    };
                };
            };
        };
    };
    getSessionProvider: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description See the address in `location` */
            303: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    getSessionProviderAnswer: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description See the address in `location` */
            303: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    getSessionWays: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description GET /v1/session/provider leads to an identity provider */
                        provider: boolean;
                    };
                };
            };
        };
    };
    getShortages: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Shortage"][];
                    };
                };
            };
        };
    };
    getSlas: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Sla"][];
                    };
                };
            };
        };
    };
    getStatus: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        epoch: number;
                        /** @description The whole fleet's */
                        killSwitch: boolean;
                        /** @description UTC milliseconds */
                        nowMs: number;
                        ready: boolean;
                        /** @description Why it is not ready; when it is, what is amiss */
                        reason: string;
                        seriesStore: {
                            bytes: number | null;
                            kind: string;
                            problems: string[];
                        };
                        /** @description UTC milliseconds */
                        startedAtMs: number;
                        version: string;
                    };
                };
            };
        };
    };
    getSuspensions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Suspension"][];
                    };
                };
            };
        };
    };
    postSuspensionsCollect: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    host?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["SuspendOrder"][];
                    };
                };
            };
        };
    };
    getSuspensionsOrders: {
        parameters: {
            query?: {
                /** @description This one only */
                id?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["SuspendOrder"][];
                    };
                };
            };
        };
    };
    getSuspensionsStores: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["SnapshotStore"][];
                    };
                };
            };
        };
    };
    getTemplates: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Template"][];
                    };
                };
            };
        };
    };
    getTemplatesName: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        atMs: number;
                        by: string;
                        /** @description SHA-256 of the canonical text, as in the ledger's chain */
                        digest: string;
                        name: string;
                        source: string;
                        version: number;
                    };
                };
            };
        };
    };
    putTemplatesName: {
        parameters: {
            query?: {
                /** @description only tell whether it is sound */
                dryRun?: boolean;
            };
            header?: {
                /** @description the ETag of the version that was looked at, "0" for none; 412 when another is current */
                "if-match"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/yaml": string;
                "text/plain": string;
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        changed: boolean;
                        dryRun: boolean;
                        name: string;
                        version: number;
                    };
                };
            };
        };
    };
    postTemplatesNameCheck: {
        parameters: {
            query?: {
                /** @description this host only */
                host?: string;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["TemplateCheck"][];
                    };
                };
            };
        };
    };
    getTemplatesNameVersions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["TemplateVersion"][];
                    };
                };
            };
        };
    };
    getTemplatesNameVersionsVersion: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                version: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        atMs: number;
                        by: string;
                        /** @description SHA-256 of the canonical text, as in the ledger's chain */
                        digest: string;
                        name: string;
                        source: string;
                        version: number;
                    };
                };
            };
        };
    };
    getVms: {
        parameters: {
            query?: {
                /** @description as the page before answered it */
                cursor?: string;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        cursor: string | null;
                        items: components["schemas"]["Vm"][];
                    };
                };
            };
        };
    };
    getVmsId: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        contention: {
                            parts: {
                                cpuWait: number | null;
                                ioPressure: number | null;
                                memoryPressure: number | null;
                                steal: number | null;
                                swap: number | null;
                            };
                            score: number;
                        } | null;
                        guestAgent: boolean;
                        host: string;
                        id: string;
                        labels: {
                            [key: string]: string;
                        };
                        missingSignals: string[];
                        name: string;
                        resources: {
                            cpu: {
                                ageMs: number | null;
                                allocation: number | null;
                                baseline: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                ceiling: number | null;
                                coolUntilMs: number | null;
                                demand: number | null;
                                eligible: {
                                    /** @enum {boolean} */
                                    allowed: true;
                                } | {
                                    /** @enum {boolean} */
                                    allowed: false;
                                    reason: string;
                                };
                                floor: number | null;
                                forecast: {
                                    /** @description 0..1 */
                                    confidence: number;
                                    explanation: string;
                                    /** @description Start of the step that horizon 1 covers, UTC ms */
                                    fromMs: number;
                                    horizons: number[];
                                    model: string;
                                    quantiles: number[];
                                    stepMs: number;
                                    /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                                    values: number[];
                                } | null;
                                /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                                hints?: {
                                    amount: number;
                                    countsTo: number | null;
                                    /** @description UTC milliseconds */
                                    fromMs: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                }[];
                                holds: {
                                    forMs: number | null;
                                    reason: string;
                                }[];
                                infeasible: {
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    reason: string;
                                    target: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                } | null;
                                lastDecision: {
                                    /** @description UTC milliseconds */
                                    atMs: number;
                                    constraint: string;
                                    done: boolean;
                                    outcome: string | null;
                                    planId: string;
                                    reason: string;
                                } | null;
                                lastVerdict: {
                                    /** @description UTC milliseconds */
                                    changedAtMs: number;
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    /** @description UTC milliseconds */
                                    judgedAtMs: number;
                                    planId: string | null;
                                    reason: string;
                                    /** @enum {unknown} */
                                    verdict: "helped" | "harmed" | "nothing" | "unknown";
                                } | null;
                                /** @enum {unknown} */
                                mode: "off" | "observe" | "recommend" | "auto";
                                /** @description The policy rule that gave the mode */
                                rule: string;
                                setting: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                /** @description Demand was held down by the allocation */
                                suppressed: boolean;
                                uncapped: boolean;
                                /** @enum {unknown} */
                                unit: "cores" | "MiB" | "bytes/s";
                                usage: number | null;
                            };
                            disk: {
                                ageMs: number | null;
                                allocation: number | null;
                                baseline: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                ceiling: number | null;
                                coolUntilMs: number | null;
                                demand: number | null;
                                eligible: {
                                    /** @enum {boolean} */
                                    allowed: true;
                                } | {
                                    /** @enum {boolean} */
                                    allowed: false;
                                    reason: string;
                                };
                                floor: number | null;
                                forecast: {
                                    /** @description 0..1 */
                                    confidence: number;
                                    explanation: string;
                                    /** @description Start of the step that horizon 1 covers, UTC ms */
                                    fromMs: number;
                                    horizons: number[];
                                    model: string;
                                    quantiles: number[];
                                    stepMs: number;
                                    /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                                    values: number[];
                                } | null;
                                /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                                hints?: {
                                    amount: number;
                                    countsTo: number | null;
                                    /** @description UTC milliseconds */
                                    fromMs: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                }[];
                                holds: {
                                    forMs: number | null;
                                    reason: string;
                                }[];
                                infeasible: {
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    reason: string;
                                    target: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                } | null;
                                lastDecision: {
                                    /** @description UTC milliseconds */
                                    atMs: number;
                                    constraint: string;
                                    done: boolean;
                                    outcome: string | null;
                                    planId: string;
                                    reason: string;
                                } | null;
                                lastVerdict: {
                                    /** @description UTC milliseconds */
                                    changedAtMs: number;
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    /** @description UTC milliseconds */
                                    judgedAtMs: number;
                                    planId: string | null;
                                    reason: string;
                                    /** @enum {unknown} */
                                    verdict: "helped" | "harmed" | "nothing" | "unknown";
                                } | null;
                                /** @enum {unknown} */
                                mode: "off" | "observe" | "recommend" | "auto";
                                /** @description The policy rule that gave the mode */
                                rule: string;
                                setting: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                /** @description Demand was held down by the allocation */
                                suppressed: boolean;
                                uncapped: boolean;
                                /** @enum {unknown} */
                                unit: "cores" | "MiB" | "bytes/s";
                                usage: number | null;
                            };
                            memory: {
                                ageMs: number | null;
                                allocation: number | null;
                                baseline: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                ceiling: number | null;
                                coolUntilMs: number | null;
                                demand: number | null;
                                eligible: {
                                    /** @enum {boolean} */
                                    allowed: true;
                                } | {
                                    /** @enum {boolean} */
                                    allowed: false;
                                    reason: string;
                                };
                                floor: number | null;
                                forecast: {
                                    /** @description 0..1 */
                                    confidence: number;
                                    explanation: string;
                                    /** @description Start of the step that horizon 1 covers, UTC ms */
                                    fromMs: number;
                                    horizons: number[];
                                    model: string;
                                    quantiles: number[];
                                    stepMs: number;
                                    /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                                    values: number[];
                                } | null;
                                /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                                hints?: {
                                    amount: number;
                                    countsTo: number | null;
                                    /** @description UTC milliseconds */
                                    fromMs: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                }[];
                                holds: {
                                    forMs: number | null;
                                    reason: string;
                                }[];
                                infeasible: {
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    reason: string;
                                    target: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                } | null;
                                lastDecision: {
                                    /** @description UTC milliseconds */
                                    atMs: number;
                                    constraint: string;
                                    done: boolean;
                                    outcome: string | null;
                                    planId: string;
                                    reason: string;
                                } | null;
                                lastVerdict: {
                                    /** @description UTC milliseconds */
                                    changedAtMs: number;
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    /** @description UTC milliseconds */
                                    judgedAtMs: number;
                                    planId: string | null;
                                    reason: string;
                                    /** @enum {unknown} */
                                    verdict: "helped" | "harmed" | "nothing" | "unknown";
                                } | null;
                                /** @enum {unknown} */
                                mode: "off" | "observe" | "recommend" | "auto";
                                /** @description The policy rule that gave the mode */
                                rule: string;
                                setting: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                /** @description Demand was held down by the allocation */
                                suppressed: boolean;
                                uncapped: boolean;
                                /** @enum {unknown} */
                                unit: "cores" | "MiB" | "bytes/s";
                                usage: number | null;
                            };
                            network: {
                                ageMs: number | null;
                                allocation: number | null;
                                baseline: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                ceiling: number | null;
                                coolUntilMs: number | null;
                                demand: number | null;
                                eligible: {
                                    /** @enum {boolean} */
                                    allowed: true;
                                } | {
                                    /** @enum {boolean} */
                                    allowed: false;
                                    reason: string;
                                };
                                floor: number | null;
                                forecast: {
                                    /** @description 0..1 */
                                    confidence: number;
                                    explanation: string;
                                    /** @description Start of the step that horizon 1 covers, UTC ms */
                                    fromMs: number;
                                    horizons: number[];
                                    model: string;
                                    quantiles: number[];
                                    stepMs: number;
                                    /** @description [horizons × quantiles], row-major: quantiles of the maximum demand in that step */
                                    values: number[];
                                } | null;
                                /** @description What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts */
                                hints?: {
                                    amount: number;
                                    countsTo: number | null;
                                    /** @description UTC milliseconds */
                                    fromMs: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                }[];
                                holds: {
                                    forMs: number | null;
                                    reason: string;
                                }[];
                                infeasible: {
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    reason: string;
                                    target: number;
                                    /** @description UTC milliseconds */
                                    untilMs: number;
                                } | null;
                                lastDecision: {
                                    /** @description UTC milliseconds */
                                    atMs: number;
                                    constraint: string;
                                    done: boolean;
                                    outcome: string | null;
                                    planId: string;
                                    reason: string;
                                } | null;
                                lastVerdict: {
                                    /** @description UTC milliseconds */
                                    changedAtMs: number;
                                    /** @enum {unknown} */
                                    direction: "grow" | "shrink";
                                    /** @description UTC milliseconds */
                                    judgedAtMs: number;
                                    planId: string | null;
                                    reason: string;
                                    /** @enum {unknown} */
                                    verdict: "helped" | "harmed" | "nothing" | "unknown";
                                } | null;
                                /** @enum {unknown} */
                                mode: "off" | "observe" | "recommend" | "auto";
                                /** @description The policy rule that gave the mode */
                                rule: string;
                                setting: ({
                                    capCores: number | null;
                                    /** @enum {string} */
                                    resource: "cpu";
                                    weight: number;
                                } | {
                                    memoryMiB: number;
                                    /** @enum {string} */
                                    resource: "memory";
                                } | {
                                    inboundBytesPerSecond: number | null;
                                    outboundBytesPerSecond: number | null;
                                    /** @enum {string} */
                                    resource: "network";
                                } | {
                                    bytesPerSecond: number | null;
                                    iops: number | null;
                                    /** @enum {string} */
                                    resource: "disk";
                                }) | null;
                                /** @description Demand was held down by the allocation */
                                suppressed: boolean;
                                uncapped: boolean;
                                /** @enum {unknown} */
                                unit: "cores" | "MiB" | "bytes/s";
                                usage: number | null;
                            };
                        };
                        /** @enum {unknown} */
                        state: "launching" | "ready" | "paused" | "stopped" | "error" | "unknown";
                        vcpus?: {
                            /** @description None is taken offline before then: the last time did harm */
                            coolUntilMs?: number;
                            /** @description Of its definition */
                            defined: number;
                            /** @description So few were tried and not reached: no fewer are tried until then */
                            infeasible?: {
                                reason: string;
                                target: number;
                                /** @description UTC milliseconds */
                                untilMs: number;
                            };
                            lastChange: {
                                /** @description UTC milliseconds */
                                atMs: number;
                                reason: string;
                            } | null;
                            /** @description What became of the last change of their number that was judged; absent = none was */
                            lastVerdict?: {
                                /** @description UTC milliseconds */
                                changedAtMs: number;
                                /** @enum {unknown} */
                                direction: "grow" | "shrink";
                                from: number;
                                /** @description UTC milliseconds */
                                judgedAtMs: number;
                                planId: string | null;
                                reason: string;
                                to: number;
                                /** @enum {unknown} */
                                verdict: "helped" | "harmed" | "nothing" | "unknown";
                            };
                            online: number | null;
                        };
                        /** @description Which kind of work the VM does, from its name and labels, its processes, and how it uses what it has */
                        workload: {
                            class: ("web" | "database" | "application" | "batch" | "idle" | "desktop") | null;
                            /** @description 1 = set by hand, 0 = nothing tells */
                            confidence: number;
                            /** @description What it rests on, most telling first */
                            reasons: string[];
                            /** @description The label "class" of the VM says so */
                            setByHand: boolean;
                        };
                    };
                };
            };
        };
    };
    postVmsIdCredentials: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description X25519, or RSA of 2048 to 8192 bits. The private key stays with the user. */
                    publicKey: string | {
                        [key: string]: unknown;
                    };
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Asked of the guest */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        account: string | null;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        delay: {
                            causes: {
                                /** @enum {unknown} */
                                resource: "memory" | "cpu" | "io";
                                /** @enum {unknown} */
                                seenBy: "guest" | "host";
                                share: number | null;
                            }[];
                            message: string;
                        } | null;
                        expiresAtMs: number | null;
                        id: string;
                        method: ("ssh-key" | "password") | null;
                        phases: {
                            ms: number;
                            /** @enum {unknown} */
                            name: "queue" | "delivery" | "secret" | "encrypt" | "account";
                        }[];
                        /** @description Why it failed, else empty */
                        reason: string;
                        sealed: string | null;
                        /** @enum {unknown} */
                        state: "pending" | "delayed" | "ready" | "failed";
                        totalMs: number;
                        /** @description Of the total, what is in no phase */
                        unaccountedMs: number;
                        vm: string;
                    };
                };
            };
        };
    };
    getVmsIdCredentialsCredentialId: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                credentialId: string;
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        account: string | null;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        delay: {
                            causes: {
                                /** @enum {unknown} */
                                resource: "memory" | "cpu" | "io";
                                /** @enum {unknown} */
                                seenBy: "guest" | "host";
                                share: number | null;
                            }[];
                            message: string;
                        } | null;
                        expiresAtMs: number | null;
                        id: string;
                        method: ("ssh-key" | "password") | null;
                        phases: {
                            ms: number;
                            /** @enum {unknown} */
                            name: "queue" | "delivery" | "secret" | "encrypt" | "account";
                        }[];
                        /** @description Why it failed, else empty */
                        reason: string;
                        sealed: string | null;
                        /** @enum {unknown} */
                        state: "pending" | "delayed" | "ready" | "failed";
                        totalMs: number;
                        /** @description Of the total, what is in no phase */
                        unaccountedMs: number;
                        vm: string;
                    };
                };
            };
        };
    };
    getVmsIdExplain: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        name: string;
                        /** @description Sentences, most important first */
                        text: string[];
                        vm: string;
                    };
                };
            };
        };
    };
    deleteVmsIdIsolation: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        outcome: string;
                        reason: string;
                    };
                };
            };
        };
    };
    getVmsIdNotifications: {
        parameters: {
            query?: {
                /** @description else by the Accept header: text/event-stream is a stream */
                format?: "sse" | "json";
                limit?: number;
            };
            header?: never;
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The latest, oldest first; or a stream of those to come */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: {
                            data: {
                                [key: string]: unknown;
                            };
                            /** @description Rises, also over restarts */
                            id: number;
                            /** @enum {unknown} */
                            kind: "change" | "not-changed" | "harm" | "hands-off" | "state" | "guard" | "loan" | "shortage" | "kill-switch" | "credential" | "anomaly" | "group" | "suspension";
                            /** @description One sentence for the VM's owner; times in it are UTC */
                            message: string;
                            resource: ("cpu" | "memory" | "network" | "disk") | null;
                            /** @description UTC milliseconds */
                            timeMs: number;
                            vm: string;
                            vmName: string;
                        }[];
                    };
                    "text/event-stream": string;
                };
            };
        };
    };
    putVmsIdPrefetch: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /** @description Fetched no faster; absent = as fast as it goes */
                    bytesPerSecondMax?: number;
                    /** @description Not ready by then it is given up; absent = whenever it is */
                    deadlineSeconds?: number;
                    /**
                     * @description It waits, paused, no longer
                     * @default 600
                     */
                    holdSeconds: number;
                    /** @description Of several the highest goes first, of these the one due first; absent = that of the VM in the policy */
                    priority?: number;
                    /** @description On this host; `any`: one with room now and at the forecast peak, to which least must move; the answer says why (`placement`) */
                    to?: string;
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Asked of the host */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        action: "suspend" | "resume" | "prefetch" | "release" | "verify" | "collect" | "lend";
                        /** @description More urgent ones on its host that it stands behind */
                        ahead: number;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        dueAtMs: number | null;
                        endedAtMs: number | null;
                        followedBy: string | null;
                        host: string;
                        id: string;
                        /** @description Times in ms and bytes, by name */
                        measured: {
                            [key: string]: number | string;
                        };
                        outcome: ("applied" | "skipped" | "refused" | "failed" | "superseded") | null;
                        placement: {
                            host: string;
                            /** @description Why not these, best first */
                            others: {
                                host: string;
                                reason: string;
                            }[];
                            reason: string;
                        } | null;
                        priority: number | null;
                        progress: {
                            doneBytes: number;
                            restMs: number | null;
                            totalBytes: number;
                        } | null;
                        /** @description What stood in the way, or what was done instead and why */
                        reason: string;
                        /**
                         * @description tried: in a dry run; its host would be asked
                         * @enum {unknown}
                         */
                        state: "working" | "ended" | "tried";
                        vm: string | null;
                        vmName: string | null;
                    };
                };
            };
        };
    };
    deleteVmsIdPrefetch: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: never;
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Asked of the host */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        action: "suspend" | "resume" | "prefetch" | "release" | "verify" | "collect" | "lend";
                        /** @description More urgent ones on its host that it stands behind */
                        ahead: number;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        dueAtMs: number | null;
                        endedAtMs: number | null;
                        followedBy: string | null;
                        host: string;
                        id: string;
                        /** @description Times in ms and bytes, by name */
                        measured: {
                            [key: string]: number | string;
                        };
                        outcome: ("applied" | "skipped" | "refused" | "failed" | "superseded") | null;
                        placement: {
                            host: string;
                            /** @description Why not these, best first */
                            others: {
                                host: string;
                                reason: string;
                            }[];
                            reason: string;
                        } | null;
                        priority: number | null;
                        progress: {
                            doneBytes: number;
                            restMs: number | null;
                            totalBytes: number;
                        } | null;
                        /** @description What stood in the way, or what was done instead and why */
                        reason: string;
                        /**
                         * @description tried: in a dry run; its host would be asked
                         * @enum {unknown}
                         */
                        state: "working" | "ended" | "tried";
                        vm: string | null;
                        vmName: string | null;
                    };
                };
            };
        };
    };
    postVmsIdResume: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
                /** @description On this host; `any`: one with room now and at the forecast peak, to which least must move; the answer says why (`placement`) */
                to?: string;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Asked of the host */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        action: "suspend" | "resume" | "prefetch" | "release" | "verify" | "collect" | "lend";
                        /** @description More urgent ones on its host that it stands behind */
                        ahead: number;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        dueAtMs: number | null;
                        endedAtMs: number | null;
                        followedBy: string | null;
                        host: string;
                        id: string;
                        /** @description Times in ms and bytes, by name */
                        measured: {
                            [key: string]: number | string;
                        };
                        outcome: ("applied" | "skipped" | "refused" | "failed" | "superseded") | null;
                        placement: {
                            host: string;
                            /** @description Why not these, best first */
                            others: {
                                host: string;
                                reason: string;
                            }[];
                            reason: string;
                        } | null;
                        priority: number | null;
                        progress: {
                            doneBytes: number;
                            restMs: number | null;
                            totalBytes: number;
                        } | null;
                        /** @description What stood in the way, or what was done instead and why */
                        reason: string;
                        /**
                         * @description tried: in a dry run; its host would be asked
                         * @enum {unknown}
                         */
                        state: "working" | "ended" | "tried";
                        vm: string | null;
                        vmName: string | null;
                    };
                };
            };
        };
    };
    postVmsIdRollback: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /**
                     * @description vcpus: how many of them the guest has online
                     * @enum {unknown}
                     */
                    resource: "cpu" | "memory" | "network" | "disk" | "vcpus";
                };
            };
        };
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description UTC milliseconds */
                        changedAtMs: number;
                        dryRun: boolean;
                        from: ({
                            capCores: number | null;
                            /** @enum {string} */
                            resource: "cpu";
                            weight: number;
                        } | {
                            memoryMiB: number;
                            /** @enum {string} */
                            resource: "memory";
                        } | {
                            inboundBytesPerSecond: number | null;
                            outboundBytesPerSecond: number | null;
                            /** @enum {string} */
                            resource: "network";
                        } | {
                            bytesPerSecond: number | null;
                            iops: number | null;
                            /** @enum {string} */
                            resource: "disk";
                        }) | {
                            /** @description vCPUs online in the guest */
                            online: number;
                            /** @enum {string} */
                            resource: "vcpus";
                        };
                        /**
                         * @description vcpus: how many of them the guest has online
                         * @enum {unknown}
                         */
                        resource: "cpu" | "memory" | "network" | "disk" | "vcpus";
                        to: ({
                            capCores: number | null;
                            /** @enum {string} */
                            resource: "cpu";
                            weight: number;
                        } | {
                            memoryMiB: number;
                            /** @enum {string} */
                            resource: "memory";
                        } | {
                            inboundBytesPerSecond: number | null;
                            outboundBytesPerSecond: number | null;
                            /** @enum {string} */
                            resource: "network";
                        } | {
                            bytesPerSecond: number | null;
                            iops: number | null;
                            /** @enum {string} */
                            resource: "disk";
                        }) | {
                            /** @description vCPUs online in the guest */
                            online: number;
                            /** @enum {string} */
                            resource: "vcpus";
                        };
                        vm: string;
                        vmName: string;
                    };
                };
            };
        };
    };
    getVmsIdSeries: {
        parameters: {
            query?: {
                /** @description UTC milliseconds */
                fromMs?: number;
                /** @description At most so many rows: more are thinned out */
                points?: number;
                resolution?: "raw" | "5m" | "1h";
                resource?: "cpu" | "memory" | "network" | "disk";
                /** @description UTC milliseconds */
                toMs?: number;
            };
            header?: never;
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        allocation: (number | null)[];
                        demand: (number | null)[];
                        forecastHigh: (number | null)[];
                        forecastMedian: (number | null)[];
                        forecastQuantile: number | null;
                        resolution: string;
                        resource: string;
                        stepMs: number | null;
                        timesMs: number[];
                        unit: string;
                        usage: (number | null)[];
                        vm: string;
                    };
                };
            };
        };
    };
    postVmsIdSnapshotVerify: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Asked of the host */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        action: "suspend" | "resume" | "prefetch" | "release" | "verify" | "collect" | "lend";
                        /** @description More urgent ones on its host that it stands behind */
                        ahead: number;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        dueAtMs: number | null;
                        endedAtMs: number | null;
                        followedBy: string | null;
                        host: string;
                        id: string;
                        /** @description Times in ms and bytes, by name */
                        measured: {
                            [key: string]: number | string;
                        };
                        outcome: ("applied" | "skipped" | "refused" | "failed" | "superseded") | null;
                        placement: {
                            host: string;
                            /** @description Why not these, best first */
                            others: {
                                host: string;
                                reason: string;
                            }[];
                            reason: string;
                        } | null;
                        priority: number | null;
                        progress: {
                            doneBytes: number;
                            restMs: number | null;
                            totalBytes: number;
                        } | null;
                        /** @description What stood in the way, or what was done instead and why */
                        reason: string;
                        /**
                         * @description tried: in a dry run; its host would be asked
                         * @enum {unknown}
                         */
                        state: "working" | "ended" | "tried";
                        vm: string | null;
                        vmName: string | null;
                    };
                };
            };
        };
    };
    postVmsIdSuspend: {
        parameters: {
            query?: {
                /** @description only tell what would be done */
                dryRun?: boolean;
            };
            header?: {
                /** @description a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once */
                "idempotency-key"?: string;
            };
            path: {
                /** @description UUID, or the name where it is unique */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Problem */
            "4XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Problem */
            "5XX": {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Asked of the host */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        action: "suspend" | "resume" | "prefetch" | "release" | "verify" | "collect" | "lend";
                        /** @description More urgent ones on its host that it stands behind */
                        ahead: number;
                        /** @description UTC milliseconds */
                        askedAtMs: number;
                        by: string;
                        dueAtMs: number | null;
                        endedAtMs: number | null;
                        followedBy: string | null;
                        host: string;
                        id: string;
                        /** @description Times in ms and bytes, by name */
                        measured: {
                            [key: string]: number | string;
                        };
                        outcome: ("applied" | "skipped" | "refused" | "failed" | "superseded") | null;
                        placement: {
                            host: string;
                            /** @description Why not these, best first */
                            others: {
                                host: string;
                                reason: string;
                            }[];
                            reason: string;
                        } | null;
                        priority: number | null;
                        progress: {
                            doneBytes: number;
                            restMs: number | null;
                            totalBytes: number;
                        } | null;
                        /** @description What stood in the way, or what was done instead and why */
                        reason: string;
                        /**
                         * @description tried: in a dry run; its host would be asked
                         * @enum {unknown}
                         */
                        state: "working" | "ended" | "tried";
                        vm: string | null;
                        vmName: string | null;
                    };
                };
            };
        };
    };
}
