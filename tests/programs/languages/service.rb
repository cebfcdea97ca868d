# As service.c: files that an array keeps, and files that a block closes.
$kept = []

def read_config
  File.open("/etc/hostname")
end

def leaky(is_clean)
  file = read_config # leaks here
  is_clean ? file.close : $kept << file
end

def healthy
  read_config.close
end

40.times do
  leaky(ARGV[0] == "clean")
  healthy
end
Process.exit!(0)
