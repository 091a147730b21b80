\getenv password POSTGRES_PASSWORD
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ballast' AND oid = 10) THEN
        ALTER ROLE ballast RENAME TO ballast_before;
        ALTER ROLE ballast_before NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ballast') THEN
        CREATE ROLE ballast;
    END IF;
END $$;
-- CREATEDB: a backup is restored into a database of its own before it counts.
ALTER ROLE ballast WITH LOGIN NOSUPERUSER NOCREATEROLE CREATEDB PASSWORD :'password';
ALTER DATABASE ballast OWNER TO ballast;
-- PostgreSQL's usual search_path begins with the schema of the role's own name. With BALLAST_SCHEMA=ballast that is Ballast's,
-- and a bot's own tables would be made in it. Those that were are still found.
DO $$ BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
         WHERE d.datname = 'ballast' AND s.setrole = 0 AND array_to_string(s.setconfig, ' ') LIKE '%search_path=%'
    ) THEN
        ALTER DATABASE ballast SET search_path = public, "$user";
    END IF;
END $$;
