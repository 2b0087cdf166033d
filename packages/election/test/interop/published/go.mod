module canopy.test/interop/published

go 1.25
