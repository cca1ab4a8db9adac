/*
 * accounts.c
 *	  Memory that tables, roles and databases use of contime.memory, and their quotas.
 *
 *	  generation ──► account of the table ──┬─► account of its owner
 *	                 bytes, quotas          └─► account of its database
 *
 * A process that changes a store compares the store's bytes before and after, under
 * the partition's lock, and adds the difference to the three accounts.  So the
 * accounts are exact: a table's account has the sum of the bytes of all stores of all
 * its generations, including those that are being freed.  Memory is charged until a
 * worker has freed it.
 *
 * If quotas apply, a writer reserves the bytes before it takes them, and takes them
 * only if no account exceeds its quota then.  At most one process per partition does
 * that at a time.  An account exceeds its quota only by what events take in addition
 * (timelines and directories of new keys, blocks into which a worker enters events),
 * never by events that were not counted.
 *
 * Locks:
 *   registry lock    the hash, the free list, refs, generation[].account
 *   Account.mutex    of a table's account: `owner`; and the bytes of the three
 *                    accounts, so that they change together, and a table that
 *                    gets another owner takes all its bytes along
 * Bytes and quotas are read without a lock.
 *
 * Invariants:
 *   1. A generation that has a store has an account.
 *   2. The account of a role or database has the sum of the bytes of the
 *      tables' accounts that refer to it, unless a change is in progress.
 *   3. `held` of a role's account is the number of accounts of its tables
 *      with bytes; `owners` is the number of roles' accounts with bytes.
 *
 * Called by every process that changes a store.  Not here: how much a table may take
 * (budget.c), how quotas are set (table/limits.c).
 */
#include "postgres.h"

#include "shared/shared.h"
#include "base/base.h"
#include "mvcc/mvcc.h"

#include "miscadmin.h"
#include "storage/shmem.h"

/* The number of accounts: of tables, roles and databases. */
#define MOST_ACCOUNTS (CONTIME_MAX_GENERATIONS + 4096)

#define NO_ACCOUNT (-1)

/* A table's key has both OIDs, a database's only the first, a role's only the second. */
typedef struct AccountKey
{
	Oid database;
	Oid object;
} AccountKey;

typedef struct Account
{
	AccountKey key;
	uint32 refs; /* of generations to a table's account; of tables' accounts to another one */
	int next;    /* in a free account: the next one of the free list */
	pg_atomic_uint64 bytes;
	pg_atomic_uint32 held; /* of a role: accounts of its tables with bytes */
	slock_t mutex;         /* of a table: protects `owner`, and changes of bytes */
	int owner;
	int database;
	pg_atomic_uint64 quota[CONTIME_LEVELS]; /* as int64 */
} Account;

typedef struct AccountEntry
{
	AccountKey key;
	int account;
} AccountEntry;

typedef struct Accounts
{
	int free; /* the first free account */
	pg_atomic_uint32 owners;
	pg_atomic_uint32 default_kb[CONTIME_LEVELS]; /* as int32 */
	Account account[MOST_ACCOUNTS];
} Accounts;

StaticAssertDecl(CONTIME_LEVELS == 3, "a table, its owner and its database are charged");

static Accounts *accounts = NULL;
static HTAB *index_of = NULL;

/* ---- shared memory ----------------------------------------------------------- */

Size
contime_accounts_bytes(void)
{
	return add_size(MAXALIGN(sizeof(Accounts)),
					hash_estimate_size(MOST_ACCOUNTS, sizeof(AccountEntry)));
}

static void
format_accounts(void)
{
	memset(accounts, 0, sizeof(Accounts));
	for (int i = 0; i < MOST_ACCOUNTS; i++)
	{
		Account *account = &accounts->account[i];

		account->next = i + 1 < MOST_ACCOUNTS ? i + 1 : NO_ACCOUNT;
		SpinLockInit(&account->mutex);
		pg_atomic_init_u64(&account->bytes, 0);
		pg_atomic_init_u32(&account->held, 0);
		for (int level = 0; level < CONTIME_LEVELS; level++)
			pg_atomic_init_u64(&account->quota[level], (uint64) -1);
	}
	pg_atomic_init_u32(&accounts->owners, 0);
	for (int level = 0; level < CONTIME_LEVELS; level++)
		pg_atomic_init_u32(&accounts->default_kb[level], (uint32) -1);
}

/* Note the value of contime.role_memory or contime.database_memory in postgresql.conf. */
static void
publish_default(bool of_database, int kb)
{
	ContimeLevel level = of_database ? CONTIME_OF_DATABASE : CONTIME_OF_ROLE;

	Assert(!IsUnderPostmaster);
	pg_atomic_write_u32(&accounts->default_kb[level], (uint32) kb);
}

void
contime_accounts_startup(bool format)
{
	HASHCTL info;
	bool found;

	Assert(LWLockHeldByMe(AddinShmemInitLock));
	accounts = ShmemInitStruct("contime accounts", sizeof(Accounts), &found);
	info.keysize = sizeof(AccountKey);
	info.entrysize = sizeof(AccountEntry);
	index_of = ShmemInitHash("contime account index", MOST_ACCOUNTS, MOST_ACCOUNTS, &info,
							 HASH_ELEM | HASH_BLOBS);
	if (format)
	{
		format_accounts();
		publish_default(false, contime_role_memory_kb);
		publish_default(true, contime_database_memory_kb);
	}
	contime_publish_memory_limit = publish_default;
}

int
contime_account_default(ContimeLevel level)
{
	Assert(level == CONTIME_OF_ROLE || level == CONTIME_OF_DATABASE);
	return (int) pg_atomic_read_u32(&accounts->default_kb[level]);
}

/* ---- open and close accounts, under the registry lock -------------------------- */

/*
 * Return the account of a key, with one more reference; create it if there is none.
 * Return NO_ACCOUNT if no account is free.
 */
static int
open_account(Oid database, Oid object)
{
	AccountKey key = {.database = database, .object = object};
	bool found;
	AccountEntry *entry = hash_search(index_of, &key, HASH_FIND, &found);
	int i;

	Assert(contime_holds_registry(LW_EXCLUSIVE));
	Assert(OidIsValid(database) || OidIsValid(object));
	if (entry == NULL && accounts->free != NO_ACCOUNT)
		entry = hash_search(index_of, &key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		return NO_ACCOUNT;
	if (!found)
	{
		i = entry->account = accounts->free;
		Assert(i >= 0 && i < MOST_ACCOUNTS);
		accounts->free = accounts->account[i].next;
		accounts->account[i].key = key;
		accounts->account[i].refs = 0;
		accounts->account[i].owner = accounts->account[i].database = NO_ACCOUNT;
	}
	accounts->account[entry->account].refs++;
	return entry->account;
}

static void
close_account(int i)
{
	Account *account = &accounts->account[i];

	Assert(contime_holds_registry(LW_EXCLUSIVE));
	Assert(i == NO_ACCOUNT || account->refs > 0);
	if (i == NO_ACCOUNT || --account->refs > 0)
		return;
	Assert(pg_atomic_read_u64(&account->bytes) == 0);
	(void) hash_search(index_of, &account->key, HASH_REMOVE, NULL);
	close_account(account->owner);
	close_account(account->database);
	account->next = accounts->free;
	accounts->free = i;
}

static Account *
get_account(const ContimeGeneration *g, ContimeLevel level)
{
	const Account *table;
	int i = g->account;

	Assert(level < CONTIME_UNLIMITED);
	Assert(i >= NO_ACCOUNT && i < MOST_ACCOUNTS);
	if (i == NO_ACCOUNT)
		return NULL;
	table = &accounts->account[i];
	if (level != CONTIME_OF_TABLE)
		i = level == CONTIME_OF_ROLE ? table->owner : table->database;
	return i == NO_ACCOUNT ? NULL : &accounts->account[i];
}

/* ---- charge bytes ------------------------------------------------------------- */

/* Add bytes to an account; *held is the number of accounts that have any. */
static void
add_bytes(Account *account, int64 change, pg_atomic_uint32 *held)
{
	uint64 before = pg_atomic_fetch_add_u64(&account->bytes, change);

	Assert((int64) before + change >= 0);
	if (held && change != 0 && before == 0)
		pg_atomic_fetch_add_u32(held, 1);
	else if (held && change != 0 && before + change == 0)
		pg_atomic_fetch_sub_u32(held, 1);
}

/* Add bytes to the accounts of a table, its owner and its database. */
static void
charge_account(Account *table, int64 change)
{
	Account *owner;

	Assert(table->owner != NO_ACCOUNT && table->database != NO_ACCOUNT);
	SpinLockAcquire(&table->mutex);
	owner = &accounts->account[table->owner];
	add_bytes(table, change, &owner->held);
	add_bytes(owner, change, &accounts->owners);
	add_bytes(&accounts->account[table->database], change, NULL);
	SpinLockRelease(&table->mutex);
}

static Size
get_store_bytes(const ContimeGeneration *g, int partition)
{
	CtArena arena = contime_arena(partition);
	CtStats stats;

	if (g->store[partition] == 0)
		return 0;
	ct_store_stats(&arena, g->store[partition], &stats);
	return stats.bytes;
}

Size
contime_charge_begin(const ContimeGeneration *g, int partition)
{
	Assert(contime_holds_lock(partition, LW_EXCLUSIVE) && CritSectionCount > 0);
	Assert(g->store[partition] == 0 || g->account != NO_ACCOUNT); /* invariant 1 */
	return get_store_bytes(g, partition);
}

void
contime_charge_end(ContimeGeneration *g, int partition, Size before)
{
	Size after = get_store_bytes(g, partition);
	Account *table = get_account(g, CONTIME_OF_TABLE);

	Assert(contime_holds_lock(partition, LW_EXCLUSIVE));
	Assert(table || after == before);
	if (table && after != before)
		charge_account(table, (int64) (after - before));
}

/* ---- quotas ------------------------------------------------------------------ */

Size
contime_account_used(const ContimeGeneration *g, ContimeLevel level)
{
	Account *account = get_account(g, level);

	return account ? pg_atomic_read_u64(&account->bytes) : 0;
}

int64
contime_account_quota(const ContimeGeneration *g, ContimeLevel level)
{
	Account *table = get_account(g, CONTIME_OF_TABLE);

	if (level == CONTIME_UNLIMITED)
		return -1;
	return table ? (int64) pg_atomic_read_u64(&table->quota[level]) : -1;
}

bool
contime_account_is_shared(const ContimeGeneration *a, const ContimeGeneration *b,
						  ContimeLevel level)
{
	Account *account = get_account(a, level);

	return account && account == get_account(b, level);
}

uint32
contime_account_owners(void)
{
	int32 owners = (int32) pg_atomic_read_u32(&accounts->owners);

	return Max(owners, 1);
}

uint32
contime_account_tables(const ContimeGeneration *g)
{
	Account *owner = get_account(g, CONTIME_OF_ROLE);
	int32 tables = owner ? (int32) pg_atomic_read_u32(&owner->held) : 1;

	return Max(tables, 1);
}

ContimeLevel
contime_charge_ahead(ContimeGeneration *g, Size bytes, Size *before)
{
	Account *table = get_account(g, CONTIME_OF_TABLE);
	bool limited = false;

	for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
		limited |= contime_account_quota(g, level) >= 0;
	if (!limited)
		return CONTIME_UNLIMITED;

	Assert(table != NULL); /* the quotas are in the account */
	/* Charge first, so that two processes never reserve the same free bytes. */
	charge_account(table, bytes);
	for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
	{
		int64 quota = contime_account_quota(g, level);

		if (quota >= 0 && contime_account_used(g, level) > (uint64) quota)
		{
			charge_account(table, -(int64) bytes);
			return level;
		}
	}
	*before += bytes;
	return CONTIME_UNLIMITED;
}

/* ---- the account of a generation ---------------------------------------------- */

static bool
is_noted(const ContimeGeneration *g, Oid owner, const ContimeQuota *quota)
{
	Account *role = get_account(g, CONTIME_OF_ROLE);

	if (role == NULL || role->key.object != owner)
		return false;
	for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
		if (contime_account_quota(g, level) != quota->bytes[level])
			return false;
	return true;
}

/*
 * Attach a generation to the account of its table, and that to its database's.  Return
 * false if there are too many accounts.
 */
static bool
join_account(ContimeGeneration *g)
{
	int i = open_account(g->database, g->relation);
	Account *table = &accounts->account[i];

	Assert(g->account == NO_ACCOUNT);
	if (i == NO_ACCOUNT)
		return false;
	if (table->database == NO_ACCOUNT)
		table->database = open_account(g->database, InvalidOid);
	if (table->database == NO_ACCOUNT)
	{
		close_account(i);
		return false;
	}
	g->account = i;
	return true;
}

/*
 * Set the owner of a table's account, and move its bytes from the old owner to the new
 * one.  Return false if there are too many accounts.
 */
static bool
set_account_owner(Account *table, Oid role)
{
	int before = table->owner;
	int after = open_account(InvalidOid, role);
	uint64 bytes;

	Assert(contime_holds_registry(LW_EXCLUSIVE));
	if (after == NO_ACCOUNT)
		return false;
	SpinLockAcquire(&table->mutex);
	bytes = pg_atomic_read_u64(&table->bytes);
	if (before != NO_ACCOUNT && bytes > 0)
	{
		add_bytes(&accounts->account[before], -(int64) bytes, &accounts->owners);
		pg_atomic_fetch_sub_u32(&accounts->account[before].held, 1);
		add_bytes(&accounts->account[after], (int64) bytes, &accounts->owners);
		pg_atomic_fetch_add_u32(&accounts->account[after].held, 1);
	}
	table->owner = after;
	SpinLockRelease(&table->mutex);
	close_account(before);
	return true;
}

bool
contime_account_note(ContimeGeneration *g, Oid owner, const ContimeQuota *quota)
{
	Account *table;
	bool noted;

	if (is_noted(g, owner, quota))
		return true;
	contime_registry_lock(LW_EXCLUSIVE);
	noted = g->account != NO_ACCOUNT || join_account(g);
	table = get_account(g, CONTIME_OF_TABLE);
	if (noted &&
		(table->owner == NO_ACCOUNT || accounts->account[table->owner].key.object != owner))
		noted = set_account_owner(table, owner);

	/* (If there is no account for the new owner, a table stays charged to the old one.) */
	noted |= table && table->owner != NO_ACCOUNT;
	if (noted)
		for (ContimeLevel level = 0; level < CONTIME_LEVELS; level++)
			pg_atomic_write_u64(&table->quota[level], (uint64) quota->bytes[level]);
	else if (table)
		contime_account_release(g);
	contime_registry_unlock();
	return noted;
}

void
contime_account_release(ContimeGeneration *g)
{
	close_account(g->account);
	g->account = NO_ACCOUNT;
}
