# needs: git
# says: in-pack: 39
# sees: file dir pipe process mapping
# A repository is made, cloned, changed, fetched from and checked.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git init -q -b trunk origin && cd origin || exit
for i in $(seq 12); do seq "$i" 300 > "file$i"; git add . && git commit -qm "change $i"; done
cd .. && git clone -q --no-local origin copy 2>&1 && cd copy || exit
echo more >> file1 && git commit -qam "more" && git log --format='%H %s' -n 2
git fsck --full 2>&1 | tail -n 1
git gc -q && git count-objects -v | grep in-pack
git diff --stat HEAD~3 | tail -n 1
git clone -q origin/absent nothing 2>/dev/null
echo "ended with $?"
